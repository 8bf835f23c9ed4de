"""Asks critics and teachers, asynchronously; what was paid for is never lost."""
