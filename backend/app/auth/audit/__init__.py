"""The audit trail: security events, chained so that a changed or missing one is found."""

from app.auth.audit.trail import AuditTrail

__all__ = ["AuditTrail"]
