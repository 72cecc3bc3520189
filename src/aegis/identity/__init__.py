"""Who is who: signing keys, the roster of a federation, enrolment, and its own authority."""
