"""What conversations need. A guest has both for what the guest owns."""

from app.auth.permissions import declare
from app.auth.types import Role

CHAT_READ = declare("chat:read", "Read your own conversations", to=Role, guests=True)
CHAT_WRITE = declare("chat:write", "Write, change and delete your own conversations", to=Role, guests=True)
