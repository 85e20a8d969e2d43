//! One checker for all heaps: a shadow model and adversarial sequences.
