"""A provider of models for tests and drills: a real server that speaks OpenAI's chat completions, and fails as told.

In the process of a test, `async with Provider() as provider:` gives `provider.url(...)` to be used as a `base_url`;
in a process of its own it is `with provider_process() as url:`, or `python -m tools.provider --port 0`, whose first
line is that address. Without faults it answers `You said: <the last message of the user>`, a word a chunk, and counts
words as tokens.

Faults are words such as `gap=0.05+cut=3`. They come from three places, of which the later one wins: the server
(`Provider(faults)`, `--faults`), the path (`provider.url("status=500")` is `…/with/status=500/v1`, so that one server
plays several providers), and the name of the model (`any-name+gap=0.05+cut=3`). They are:

    before the answer    headers=S  S seconds until the answer begins     hangup  closes the connection without a word
    instead of it        status=N   this status, as OpenAI words it       retry_after=S  with this Retry-After
                         html       200 with a page                       redirect=URL  307 to there, %-encoded
                         json       a whole answer where a stream was asked
                         garbage    200 that is no stream of events (and no JSON)
    its shape            words=N    `word-1 … word-N`                     text=T     this text, %-encoded
                         reasoning=N  N words of reasoning before it      pad=N      each chunk N characters longer
                         huge=N     one chunk of N characters             empty      no text at all
                         finish=R   this finish_reason                    actual=M   says that M answered
                         bytes=N    N bytes a packet (splits characters)  pings      comments between events, CRLF
    its speed            first=S    until the first chunk                 gap=S      between chunks
    its end              stall=N    nothing more comes after N chunks     cut=N      closed after N chunks
                         end=N      ends as if complete after N chunks    error=N    an error event after N chunks
                         malformed=N  an event that is no JSON after N    endless    chunks for ever
                         line       one line for ever                     nodone     no [DONE] at the end
    usage                usage=none (never told), zero, or wild (values that nobody can have counted)
    how often            times=N    only the first N requests to this path are faulty

`provider.requests` holds what was asked and how each request ended; `GET /stats` is the same for other processes.
"""

from tools.provider.faults import Faults
from tools.provider.process import provider_process
from tools.provider.server import Asked, Outcome, Provider

__all__ = ["Asked", "Faults", "Outcome", "Provider", "provider_process"]
