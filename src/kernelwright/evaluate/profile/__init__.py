"""What limits a candidate: what the compiler made of it, and how far from the roofline it is."""
