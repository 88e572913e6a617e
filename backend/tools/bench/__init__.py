"""Benchmark of the service beside two peers, in one run on one machine.

`python -m tools.bench` (from `backend/`) starts three servers, each one uvicorn worker on core 0, with PostgreSQL and
the load on core 1, and measures them in alternating rounds, so that what disturbs the machine disturbs all three:

* `limit`: a bare Starlette and asyncpg application, the practical limit of this stack;
* `plain`: an ordinary FastAPI and SQLAlchemy service, written as most tutorials do;
* `merit`: this service, started as a user starts it.

It measures and never judges by its exit code: timing does not belong in tests.
"""
