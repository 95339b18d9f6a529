//! The tables of the catalog.

use super::{
    CATALOG_OID, DATABASE_OID, Described, INFORMATION_OID, OWNER, OWNER_OID, PUBLIC_OID, Relation,
    TYPES, Value, type_of,
};

/// Tables of things that Daybook does not have: they are there, so that who looks finds nothing.
const EMPTY: &[(&str, &str)] = &[
    ("pg_attrdef", "oid:i adrelid:i adnum:i adbin"),
    (
        "pg_description",
        "objoid:i classoid:i objsubid:i description",
    ),
    ("pg_shdescription", "objoid:i classoid:i description"),
    (
        "pg_index",
        "indexrelid:i indrelid:i indnatts:i indisunique:b indisprimary:b indisclustered:b indisvalid:b \
         indisreplident:b indkey indoption indexprs indpred",
    ),
    (
        "pg_constraint",
        "oid:i conname connamespace:i contype condeferrable:b condeferred:b conrelid:i conindid:i \
         confrelid:i confupdtype confdeltype confmatchtype conkey confkey conparentid:i",
    ),
    (
        "pg_inherits",
        "inhrelid:i inhparent:i inhseqno:i inhdetachpending:b",
    ),
    (
        "pg_proc",
        "oid:i proname pronamespace:i prokind prorettype:i pronargs:i proargtypes",
    ),
    ("pg_enum", "oid:i enumtypid:i enumsortorder:i enumlabel"),
    ("pg_range", "rngtypid:i rngsubtype:i rngmultitypid:i"),
    ("pg_collation", "oid:i collname collnamespace:i"),
    ("pg_trigger", "oid:i tgrelid:i tgname tgisinternal:b"),
    ("pg_rewrite", "oid:i ev_class:i rulename"),
    ("pg_policy", "oid:i polname polrelid:i"),
    ("pg_statistic_ext", "oid:i stxrelid:i stxname"),
    ("pg_publication", "oid:i pubname puballtables:b"),
    ("pg_publication_rel", "oid:i prpubid:i prrelid:i"),
    ("pg_publication_namespace", "oid:i pnpubid:i pnnspid:i"),
    (
        "pg_depend",
        "classid:i objid:i objsubid:i refclassid:i refobjid:i refobjsubid:i deptype",
    ),
    ("pg_extension", "oid:i extname extversion"),
    ("pg_foreign_table", "ftrelid:i ftserver:i"),
    ("pg_foreign_server", "oid:i srvname"),
    ("pg_partitioned_table", "partrelid:i partstrat"),
    ("pg_sequence", "seqrelid:i seqtypid:i"),
    ("pg_views", "schemaname viewname viewowner definition"),
    ("pg_matviews", "schemaname matviewname matviewowner"),
    ("pg_indexes", "schemaname tablename indexname indexdef"),
    ("pg_event_trigger", "oid:i evtname"),
    ("pg_locks", "locktype database:i relation:i mode granted:b"),
    (
        "pg_stat_activity",
        "datid:i datname pid:i usename state query",
    ),
];

pub(super) fn of(tables: &[Described]) -> Vec<Relation> {
    let mut relations = vec![
        namespaces(),
        classes(tables),
        attributes(tables),
        types(),
        databases(),
        roles(),
        plain_tables(tables),
        Relation::new(
            "pg_am",
            "oid:i amname amtype",
            vec![vec![2.into(), "heap".into(), "t".into()]],
        ),
        Relation::new(
            "pg_user",
            "usename usesysid:i usecreatedb:b usesuper:b",
            vec![vec![
                OWNER.into(),
                OWNER_OID.into(),
                false.into(),
                false.into(),
            ]],
        ),
        Relation::new(
            "pg_tablespace",
            "oid:i spcname spcowner:i",
            vec![vec![1_663.into(), "pg_default".into(), OWNER_OID.into()]],
        ),
    ];
    relations.extend(
        EMPTY
            .iter()
            .map(|(name, columns)| Relation::new(name, columns, Vec::new())),
    );
    relations
}

fn namespaces() -> Relation {
    let row = |oid: i64, name: &str| vec![oid.into(), name.into(), OWNER_OID.into(), Value::Null];
    Relation::new(
        "pg_namespace",
        "oid:i nspname nspowner:i nspacl",
        vec![
            row(CATALOG_OID, "pg_catalog"),
            row(PUBLIC_OID, "public"),
            row(INFORMATION_OID, "information_schema"),
        ],
    )
}

fn classes(tables: &[Described]) -> Relation {
    let rows = tables.iter().map(|table| {
        let columns = i64::try_from(table.columns.len()).unwrap_or(i64::MAX);
        vec![
            table.oid.into(),
            table.name.as_str().into(),
            PUBLIC_OID.into(),
            0.into(),
            0.into(),
            OWNER_OID.into(),
            2.into(),
            0.into(),
            0.into(),
            0.into(),
            (-1).into(),
            0.into(),
            false.into(),
            "p".into(),
            "r".into(),
            columns.into(),
            0.into(),
            false.into(),
            false.into(),
            false.into(),
            false.into(),
            false.into(),
            "n".into(),
            false.into(),
            Value::Null,
            Value::Null,
            Value::Null,
        ]
    });
    Relation::new(
        "pg_class",
        "oid:i relname relnamespace:i reltype:i reloftype:i relowner:i relam:i relfilenode:i reltablespace:i \
         relpages:i reltuples:i reltoastrelid:i relhasindex:b relpersistence relkind relnatts:i relchecks:i \
         relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b relreplident \
         relispartition:b relacl reloptions relpartbound",
        rows.collect(),
    )
}

fn attributes(tables: &[Described]) -> Relation {
    let of_table = |table: &Described| {
        let oid = table.oid;
        let columns = table.columns.iter().zip(1_i64..);
        let rows = columns.map(move |((name, kind), number)| {
            let (kind, modifier) = type_of(*kind);
            vec![
                oid.into(),
                name.as_str().into(),
                kind.oid.into(),
                kind.size.into(),
                number.into(),
                modifier.into(),
                0.into(),
                false.into(),
                false.into(),
                false.into(),
                "".into(),
                "".into(),
                0.into(),
                "p".into(),
                "".into(),
                Value::Null,
                Value::Null,
            ]
        });
        rows.collect::<Vec<_>>()
    };
    Relation::new(
        "pg_attribute",
        "attrelid:i attname atttypid:i attlen:i attnum:i atttypmod:i attndims:i attnotnull:b atthasdef:b \
         attisdropped:b attidentity attgenerated attcollation:i attstorage attcompression attstattarget:i attacl",
        tables.iter().flat_map(of_table).collect(),
    )
}

fn types() -> Relation {
    let row = |oid: i64, name: &str, size: i64, category: &str, element: i64, array: i64| {
        vec![
            oid.into(),
            name.into(),
            CATALOG_OID.into(),
            OWNER_OID.into(),
            size.into(),
            "b".into(),
            category.into(),
            true.into(),
            ",".into(),
            0.into(),
            element.into(),
            array.into(),
            false.into(),
            0.into(),
            (-1).into(),
            0.into(),
            0.into(),
            if element > 0 { "array_in" } else { "in" }.into(),
        ]
    };
    let plain = TYPES
        .iter()
        .map(|kind| row(kind.oid, kind.name, kind.size, kind.category, 0, kind.array));
    let arrays = TYPES
        .iter()
        .filter(|kind| kind.array > 0)
        .map(|kind| row(kind.array, &format!("_{}", kind.name), -1, "A", kind.oid, 0));
    Relation::new(
        "pg_type",
        "oid:i typname typnamespace:i typowner:i typlen:i typtype typcategory typisdefined:b typdelim typrelid:i \
         typelem:i typarray:i typnotnull:b typbasetype:i typtypmod:i typndims:i typcollation:i typinput",
        plain.chain(arrays).collect(),
    )
}

fn databases() -> Relation {
    Relation::new(
        "pg_database",
        "oid:i datname datdba:i encoding:i datcollate datctype datistemplate:b datallowconn:b dattablespace:i \
         datlocprovider daticulocale daticurules datcollversion datacl",
        vec![vec![
            DATABASE_OID.into(),
            sql::DATABASE.into(),
            OWNER_OID.into(),
            6.into(),
            "C".into(),
            "C".into(),
            false.into(),
            true.into(),
            1_663.into(),
            "c".into(),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
        ]],
    )
}

fn roles() -> Relation {
    Relation::new(
        "pg_roles",
        "oid:i rolname rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b \
         rolbypassrls:b rolconnlimit:i rolvaliduntil",
        vec![vec![
            OWNER_OID.into(),
            OWNER.into(),
            false.into(),
            true.into(),
            false.into(),
            false.into(),
            true.into(),
            false.into(),
            false.into(),
            (-1).into(),
            Value::Null,
        ]],
    )
}

fn plain_tables(tables: &[Described]) -> Relation {
    let rows = tables.iter().map(|table| {
        vec![
            "public".into(),
            table.name.as_str().into(),
            OWNER.into(),
            Value::Null,
            false.into(),
            false.into(),
            false.into(),
            false.into(),
        ]
    });
    Relation::new(
        "pg_tables",
        "schemaname tablename tableowner tablespace hasindexes:b hasrules:b hastriggers:b rowsecurity:b",
        rows.collect(),
    )
}
