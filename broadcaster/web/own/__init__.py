"""Our own API: JSON, camelCase, RFC 3339 times, RFC 9457 problems."""
