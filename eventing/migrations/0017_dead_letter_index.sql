-- What a group's dead-letter topic says, so that it need not be read through for every question. It can be built anew from the
-- topic at any time; what was done to letters is kept elsewhere and stays.
create table eventing.dead_letters (
    consumer_group text not null,
    -- The letter's place on the dead-letter topic; its id is <partition>-<offset>.
    letter_partition integer not null,
    letter_offset bigint not null,
    died_at timestamptz not null,
    first_failed_at timestamptz,
    -- The original record; null when no consumer group wrote the letter.
    source_topic text,
    source_partition integer,
    source_offset bigint,
    -- The record's key, printable.
    key text not null,
    sequence bigint,
    event_type text,
    error_class text not null,
    fingerprint text not null,
    message text not null,
    attempts integer,
    -- The replay that it failed in, and the letter that it was then.
    job_id uuid,
    earlier_partition integer,
    earlier_offset bigint,
    -- Which failure it is about. Two letters with the same one are copies: a process died between writing the letter and
    -- committing the offset of its record.
    life text,
    -- The letter that it is a copy of.
    copy_of_partition integer,
    copy_of_offset bigint,
    constraint dead_letters_pkey primary key (consumer_group, letter_partition, letter_offset)
);

create index dead_letters_died_at on eventing.dead_letters (consumer_group, died_at, letter_partition, letter_offset);
create index dead_letters_fingerprint
    on eventing.dead_letters (consumer_group, fingerprint, died_at) where copy_of_partition is null;
create index dead_letters_key on eventing.dead_letters (consumer_group, key);
create index dead_letters_life on eventing.dead_letters (consumer_group, life);
create index dead_letters_earlier
    on eventing.dead_letters (consumer_group, earlier_partition, earlier_offset) where earlier_partition is not null;
create index dead_letters_job on eventing.dead_letters (consumer_group, job_id) where job_id is not null;

comment on table eventing.dead_letters is 'The index of a group''s dead-letter topic';

-- Up to where the topic is in the index. The row's lock lets one process at a time extend a partition's index.
create table eventing.dead_letter_positions (
    consumer_group text not null,
    letter_partition integer not null,
    next_offset bigint not null,
    constraint dead_letter_positions_pkey primary key (consumer_group, letter_partition),
    constraint dead_letter_positions_not_negative check (next_offset >= 0)
);

comment on table eventing.dead_letter_positions is 'Up to where a dead-letter topic is in the index';
