-- What operators did to dead letters. A job is written with all its letters before its first effect.
create table eventing.dead_letter_jobs (
    id uuid constraint dead_letter_jobs_pkey primary key,
    consumer_group text not null,
    action text not null,
    -- The selection in words, as it was asked for.
    selection text not null,
    operator text not null,
    reason text not null,
    created_at timestamptz not null,
    finished_at timestamptz,
    constraint dead_letter_jobs_action_known check (action in ('replay', 'discard')),
    constraint dead_letter_jobs_has_reason check (reason <> '')
);

comment on table eventing.dead_letter_jobs is 'What operators did to dead letters, who and why';

create table eventing.dead_letter_job_letters (
    job_id uuid not null constraint dead_letter_job_letters_job_id_fkey references eventing.dead_letter_jobs (id),
    -- The letter's place on the dead-letter topic; its id is <partition>-<offset>.
    letter_partition integer not null,
    letter_offset bigint not null,
    -- When it was sent or discarded; null while that is not known to have happened.
    done_at timestamptz,
    constraint dead_letter_job_letters_pkey primary key (job_id, letter_partition, letter_offset)
);

create index dead_letter_job_letters_letter on eventing.dead_letter_job_letters (letter_partition, letter_offset);

comment on table eventing.dead_letter_job_letters is 'The letters of a job';

-- Which copy of a replayed letter is the one that counts. After a crash a job sends a letter again, because it cannot know
-- whether the first copy was written: the first copy that is read claims the letter, and the others are passed over.
create table eventing.replay_claims (
    consumer_group text not null,
    job_id uuid not null,
    letter text not null,
    -- Each retry of a replayed letter is a record of its own.
    attempt integer not null,
    -- The copy's place: topic/partition/offset.
    copy text not null,
    claimed_at timestamptz not null,
    constraint replay_claims_pkey primary key (consumer_group, job_id, letter, attempt)
);

comment on table eventing.replay_claims is 'Which copy of a replayed letter counts';

-- Records to be put into the dead letters after they had been applied: work that was accepted, and failed for good later.
create table eventing.dead_letter_requests (
    id bigint generated always as identity constraint dead_letter_requests_pkey primary key,
    consumer_group text not null,
    topic text not null,
    record_partition integer not null,
    record_offset bigint not null,
    class text not null,
    message text not null,
    requested_at timestamptz not null,
    -- Until when a member works on it.
    leased_until timestamptz
);

comment on table eventing.dead_letter_requests is 'Applied records that are to become dead letters';
