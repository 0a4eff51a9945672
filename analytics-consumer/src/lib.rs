//! analytics-consumer
