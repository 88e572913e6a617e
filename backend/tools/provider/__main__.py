"""`python -m tools.provider [--port 0] [--faults gap=0.05]`: prints its address and serves until it is ended."""

import argparse
import asyncio
import signal

from tools.provider.server import Provider


async def serve(port: int, faults: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Provider(faults, port=port) as provider:
        print(provider.url(), flush=True)
        await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A provider of models that fails as told; see tools/provider.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--faults", default="", help="faults of every request, such as gap=0.05+cut=3")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.faults))
