//! Consuming: once, in order, with retries that harm nobody.
