//! Fixtures: a database, topics and schemas for one test.
