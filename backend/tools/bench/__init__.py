"""Benchmark of the service against its goals. `python -m tools.bench` (from `backend/`) measures three parts:

* `accounts` starts three servers, each one uvicorn worker on core 0, with PostgreSQL and the load on core 1, and
  measures them in alternating rounds, so that what disturbs the machine disturbs all three: `limit`, a bare Starlette
  and asyncpg application, the practical limit of this stack; `plain`, an ordinary FastAPI and SQLAlchemy service,
  written as most tutorials do; and `merit`, this service, started as a user starts it;
* `appending` compares a conversation of 10,000 messages with an empty one, on each database;
* `search` compares searches of 200,000 messages with scans, on each database.

It ends with exit code 1 where a goal is missed. It is no test: timing does not belong in those.
"""
