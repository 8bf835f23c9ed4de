"""The embedded world: tasks of known truth, teachers, critics and their server."""
