-- Rows of blocked aggregates: those that are set aside and those behind them. They are kept apart, so that the relay's reads
-- do not pass over them again and again; resolving the aggregate moves them back, under the numbers that they had.
create table eventing.outbox_blocked (
    seq bigint constraint outbox_blocked_pkey primary key,
    topic text not null,
    key text not null,
    sequence bigint not null,
    payload bytea not null,
    headers bytea not null,
    created_at timestamptz not null,
    constraint outbox_blocked_sequence_positive check (sequence >= 1)
);

create index outbox_blocked_aggregate_idx on eventing.outbox_blocked (topic, key);

comment on table eventing.outbox_blocked is 'Outbox rows that wait for an operator, with those behind them';

alter table eventing.outbox_set_aside
    add constraint outbox_set_aside_seq_fkey foreign key (seq) references eventing.outbox_blocked (seq);
