"""The drills of replies must notice what is lost, what is half there, and that too little happened."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tools.drill import crowd, streams
from tools.drill.crowd import OTHERS, Seen
from tools.drill.report import Verdict
from tools.drill.streams import Broken, Findings, Outcome
from tools.provider import Asked


def words(count: int) -> str:
    return " ".join(f"word-{number}" for number in range(1, count + 1))


def test_lost_is_what_the_model_had_said_and_is_not_stored() -> None:
    one = Broken("c")
    body: dict[str, Any] = {"messages": [{"role": "user", "content": one.question}]}
    mine = Asked("test", is_stream=True, authorization="", headers={}, body=body, sent=20)
    other = Asked("test", is_stream=True, authorization="", headers={}, body={"messages": [{"content": "?"}]}, sent=99)
    one.note_kill([mine, other])
    assert one.said == 20
    assert one.lost_ms(words(15)) == pytest.approx(150)
    assert one.lost_ms(words(20)) == 0
    assert one.lost_ms("") == pytest.approx(600)
    assert one.was_said(words(20))
    assert not one.was_said(words(25))
    assert not one.was_said("word-2")


@pytest.mark.parametrize(
    ("outcome", "is_stored", "is_right"),
    [
        (Outcome.ACKNOWLEDGED, True, True),
        (Outcome.ACKNOWLEDGED, False, False),
        (Outcome.UNKNOWN, True, True),
        (Outcome.UNKNOWN, False, True),
        (Outcome.REFUSED, True, False),
        (Outcome.REFUSED, False, True),
    ],
)
def test_a_question_is_judged_by_what_its_client_knows(outcome: Outcome, is_stored: bool, is_right: bool) -> None:
    one, findings = Broken("c", outcome=outcome), Findings()
    findings.note_question(one, [one.question] if is_stored else [])
    assert (findings.violations == []) is is_right
    assert findings.lost_questions == (outcome is Outcome.ACKNOWLEDGED and not is_stored)
    assert findings.applied == (outcome is Outcome.UNKNOWN and is_stored)
    findings.note_question(one, ["something else"])
    assert findings.violations


def test_few_broken_replies_are_void() -> None:
    site = cast("Any", SimpleNamespace(name="SQLite"))
    asked = [Broken("c", outcome=Outcome.ACKNOWLEDGED) for _ in range(streams.STREAMS_A_LIFE)]
    assert streams._result(site, 1, asked, 2, Findings()).verdict is Verdict.PASS
    assert streams._result(site, 1, asked, 1, Findings()).verdict is Verdict.VOID
    assert streams._result(site, 2, asked, 4, Findings()).verdict is Verdict.VOID
    assert streams._result(site, 1, asked, 2, Findings(violations=["lost"])).verdict is Verdict.FAIL


def test_each_kind_of_request_beside_the_streams_is_judged() -> None:
    site = cast("Any", SimpleNamespace(name="SQLite"))

    def seen() -> Seen:
        return Seen(times={name: [0.01] * 100 for name in OTHERS}, in_full=dict.fromkeys(OTHERS, 100))

    assert crowd._result(site, seen()).verdict is Verdict.PASS
    for name in OTHERS:
        slow, failed, few = seen(), seen(), seen()
        slow.times[name] = [0.01] * 90 + [0.3] * 10
        failed.failures.append(f"{name} was answered 503")
        few.in_full[name] = 3
        verdicts = [crowd._result(site, one).verdict for one in (slow, failed, few)]
        assert verdicts == [Verdict.FAIL, Verdict.FAIL, Verdict.VOID]
