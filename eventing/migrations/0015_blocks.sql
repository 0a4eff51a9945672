-- Where the events of an ordered group are that failed, and hold back the later ones of their aggregates. Written before the
-- record is sent to its tier or to the dead letters, so that an event which is missing and has no row here was never seen. What
-- holds back is still the watermark; a row at or below it is out of date, and removed now and then.
create table eventing.blocks (
    consumer_group text not null,
    topic text not null,
    key text not null,
    sequence bigint not null,
    place text not null,
    fingerprint text not null,
    blocked_at timestamptz not null,
    constraint blocks_pkey primary key (consumer_group, topic, key, sequence),
    constraint blocks_sequence_positive check (sequence >= 1),
    constraint blocks_place_known check (place in ('retry', 'dead_letter'))
);

comment on table eventing.blocks is 'Events of ordered groups that are in a retry tier or among the dead letters';

-- The events up to the watermark that were given up, with none applied behind them: from the first to the last. They mean
-- something only while the last is the watermark itself. As long as it is, giving them up can be undone.
alter table eventing.watermarks
    add column passed_over_from bigint,
    add column passed_over_to bigint,
    add constraint watermarks_passed_over_is_a_range check (
        num_nulls(passed_over_from, passed_over_to) in (0, 2) and passed_over_from <= passed_over_to
    );
