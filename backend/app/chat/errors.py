"""The refusals around conversations and their messages."""

from app.core.errors import ConflictError, InvalidInputError, NotFoundError


class ConversationNotFoundError(NotFoundError):
    """No such conversation, or not one of the caller's."""

    code = "conversation_not_found"
    title = "No such conversation"


class MessageNotFoundError(NotFoundError):
    """No such message in the conversation, or not one of the caller's."""

    code = "message_not_found"
    title = "No such message"


class FeedbackNotFoundError(NotFoundError):
    """The caller has said nothing of this message."""

    code = "feedback_not_found"
    title = "No feedback"


class FolderNotFoundError(NotFoundError):
    """No such folder, or not one of the caller's."""

    code = "folder_not_found"
    title = "No such folder"


class SessionTakenError(ConflictError):
    """Another of the caller's conversations has this `client_session_id`."""

    code = "client_session_taken"
    title = "This session has a conversation already"


class AlreadyImportedError(ConflictError):
    """The conversation of this source is there already."""

    code = "conversation_imported"
    title = "Imported already"


class TooManyConversationsError(ConflictError):
    """The caller has as many conversations as it may have."""

    code = "too_many_conversations"
    title = "Too many conversations"


class TooManyFoldersError(ConflictError):
    """The account has as many folders as it may have."""

    code = "too_many_folders"
    title = "Too many folders"


class FolderCycleError(ConflictError):
    """A folder would come to lie within itself."""

    code = "folder_cycle"
    title = "A folder cannot lie within itself"


class FolderTooDeepError(ConflictError):
    """Folders would nest deeper than they may."""

    code = "folder_too_deep"
    title = "Folders nest too deep"


class ConversationFullError(ConflictError):
    """The conversation holds as many messages as it may hold."""

    code = "conversation_full"
    title = "The conversation is full"


class ForkTooLargeError(ConflictError):
    """More messages would be copied than are copied at once."""

    code = "fork_too_large"
    title = "Too many messages to copy"


class MessageTooLargeError(InvalidInputError):
    """The message has more bytes than a message may have."""

    code = "message_too_large"
    title = "The message is too large"


class NotEditableError(ConflictError):
    """Only what a person wrote can be edited; a reply is regenerated."""

    code = "not_editable"
    title = "Only a user's message can be edited"
