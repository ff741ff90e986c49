"""Messages in the forms of those who receive them: one small file each. Pure; who sends them is `loop.live_outbox`."""
