-- How often blocked rows went back to the outbox: one row. They go back under their old numbers, which a relay may have left
-- behind; it sees by this that it has to look at the low numbers again.
create table eventing.outbox_releases (
    only_row boolean not null default true constraint outbox_releases_pkey primary key,
    releases bigint not null default 0,
    constraint outbox_releases_one_row check (only_row)
);

comment on table eventing.outbox_releases is 'How often blocked rows went back to the outbox';

insert into eventing.outbox_releases default values;
