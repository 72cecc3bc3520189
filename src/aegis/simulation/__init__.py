"""Many hospitals on one machine: how rows are dealt, and how they train as one stack."""
