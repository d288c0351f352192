"""What all tests share."""

import signal

# shells start background jobs deaf to Ctrl-C, and programs that tests start inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
