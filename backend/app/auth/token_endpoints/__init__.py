"""What OAuth2 clients and resource servers ask of tokens: revocation (RFC 7009) and introspection (RFC 7662)."""
