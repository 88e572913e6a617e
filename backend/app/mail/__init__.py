"""Mail: templates and the way out, by SMTP or into a folder."""
