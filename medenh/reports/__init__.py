"""Pages that show what was done: self-contained HTML, and the demo that makes one."""
