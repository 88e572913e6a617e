"""What the tests of the mail flows share besides `flows`."""

import pytest

from tests.mailbox import Mailbox
from tests.support import Account


@pytest.fixture
async def account(account: Account, mailbox: Mailbox) -> Account:
    """An ordinary account, logged in. Its first mails are sent: with a stopped clock later ones would tie with them."""
    await mailbox.all()
    return account
