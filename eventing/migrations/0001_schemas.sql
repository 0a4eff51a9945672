-- What the schema registry answered, kept so that a restart needs no registry. An id never changes its meaning, so a row
-- is written once and never updated.
create table eventing.schemas (
    id integer constraint schemas_pkey primary key,
    definition text not null,
    fetched_at timestamptz not null,
    constraint schemas_id_positive check (id > 0)
);

comment on table eventing.schemas is 'Avro schemas by the registry''s id';

-- The id under which a subject knows a definition of ours. Keyed by the definition, so that a new release of a service,
-- which brings a new definition, asks the registry again.
create table eventing.subject_schemas (
    subject text not null,
    definition_sha256 bytea not null,
    schema_id integer not null constraint subject_schemas_schema_id_fkey references eventing.schemas (id),
    constraint subject_schemas_pkey primary key (subject, definition_sha256)
);

comment on table eventing.subject_schemas is 'Which id a subject''s schema has in the registry';
