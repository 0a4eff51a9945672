-- Who was greeted, and how often.
create table greetings (
    name text constraint greetings_pkey primary key,
    times bigint not null constraint greetings_times_is_positive check (times > 0)
);
