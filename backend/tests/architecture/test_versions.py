"""Every PATCH takes `If-Match`, and a stale one changes nothing."""

from typing import Any

import pytest
from fastapi import FastAPI

from tests.chat.stage import folder
from tests.support import Account


def test_whatever_changes_a_part_takes_the_version_it_is_based_on(app: FastAPI) -> None:
    """Without it, of two that change the same the last one wins without knowing of the other."""
    patches = [item["patch"] for item in app.openapi()["paths"].values() if "patch" in item]
    assert len(patches) > 7
    for operation in patches:
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert "if-match" in names, operation["operationId"]
        assert "412" in operation["responses"], operation["operationId"]


@pytest.mark.parametrize("thing", ["folder", "limit"])
async def test_a_stale_change_is_refused(admin: Account, thing: str) -> None:
    """One that everyone agrees on gives the next `ETag`, for which the old one is no longer good."""
    changes: tuple[dict[str, Any], ...]
    if thing == "folder":
        path, changes = f"/folders/{await folder(admin)}", ({"name": "a"}, {"parent_id": None})
    else:
        limit = {"scope_type": "global", "metric": "tokens", "window_seconds": 60, "amount": "1"}
        made = await admin.request("POST", "/admin/limits", json=limit)
        assert made.headers["ETag"] == '"1"'
        path, changes = f"/admin/limits/{made.json()['id']}", ({"amount": "2"}, {"amount": "3"})
    before = await admin.get(path)
    for change in changes:
        stale = {"If-Match": before.headers["ETag"]}
        answer = await admin.request("PATCH", path, json=change, headers=stale)
        assert answer.status_code == 200, answer.text
        after = await admin.get(path)
        assert after.headers["ETag"] == answer.headers["ETag"] != before.headers["ETag"]
        refused = await admin.request("PATCH", path, json=change, headers=stale)
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
        assert (await admin.get(path)).json() == after.json()
        before = after
