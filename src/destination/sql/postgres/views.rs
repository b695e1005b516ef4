//! Views that depend on columns of ours: dropped and made again around a change of type, which PostgreSQL refuses while
//! they are there. What can't be made again exactly as it was keeps the column as it is.

use std::collections::{HashMap, HashSet};

use postgres::types::Type;
use postgres::{Error, GenericClient, Row, Transaction};

use super::catalog::Relation;
use super::connect::literal;
use super::session::Session;
use crate::destination::sql::dialect::POSTGRES;

/// Views that are made again; more of them, and their readers would wait for long.
const MAX_VIEWS: usize = 500;

/// `SET` for a role came with 16; before, whoever is a member may become it.
const SET_OPTION_VERSION: i32 = 160_000;

/// What depends on columns of a table.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    /// Plain views, each behind those that it reads from.
    pub(super) views: Vec<View>,
    /// What keeps the columns from being changed, in words.
    pub(super) obstacles: Vec<String>,
}

/// A plain view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    oid: u32,
    /// Schema and name, quoted.
    pub(super) name: String,
    owner: String,
}

/// The table and all that inherit from it, and the rules that refer to the columns, directly or through views.
const FOUND: &str = "\
    WITH RECURSIVE family(oid) AS ( \
        SELECT $1::oid \
        UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN family f ON f.oid = i.inhparent), \
    wanted(relation, attribute) AS ( \
        SELECT f.oid, a.attnum FROM family f JOIN pg_catalog.pg_attribute a ON a.attrelid = f.oid \
        WHERE a.attname::text = ANY ($2) AND a.attnum > 0 AND NOT a.attisdropped), \
    found(rule, relation, level) AS ( \
        SELECT r.oid, r.ev_class, 1 FROM wanted w \
        JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = w.relation \
             AND d.refobjsubid = w.attribute AND d.classid = 'pg_catalog.pg_rewrite'::regclass \
        JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid \
        UNION SELECT r.oid, r.ev_class, f.level + 1 FROM found f \
        JOIN pg_catalog.pg_class v ON v.oid = f.relation AND v.relkind = 'v' \
        JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = v.oid \
             AND d.classid = 'pg_catalog.pg_rewrite'::regclass \
        JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> v.oid \
        WHERE f.level < 100) ";

impl Dependents {
    /// Looks them up.
    pub(super) fn of(
        client: &mut impl GenericClient,
        session: &Session,
        table: &Relation,
        columns: &[&str],
    ) -> Result<Self, Error> {
        let become_role = role_privilege(session);
        let parameters = [
            (&table.oid as _, Type::OID),
            (&columns as _, Type::TEXT_ARRAY),
            (&become_role as _, Type::TEXT),
        ];
        // Of what else depends on a view, one is enough to tell that it can't be dropped.
        let rules = client.query_typed(
            &format!(
                "{FOUND} SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, r.rulename::text, \
                        pg_catalog.pg_get_userbyid(c.relowner)::text, \
                        pg_catalog.pg_has_role(c.relowner, 'USAGE') AND pg_catalog.pg_has_role(c.relowner, $3), \
                        EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal), \
                        EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite o WHERE o.ev_class = c.oid AND o.rulename <> '_RETURN'), \
                        c.relpersistence = 't', \
                        EXISTS (SELECT 1 FROM pg_catalog.pg_seclabel l \
                                WHERE l.classoid = 'pg_catalog.pg_class'::regclass AND l.objoid = c.oid), \
                        EXISTS (SELECT 1 FROM pg_catalog.pg_depend e \
                                WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'), \
                        (SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_catalog.pg_depend d \
                         WHERE d.deptype = 'n' AND d.classid <> 'pg_catalog.pg_rewrite'::regclass AND ( \
                               d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid \
                               OR d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN ( \
                                   SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typrelid = c.oid \
                                   UNION ALL SELECT t.typarray FROM pg_catalog.pg_type t WHERE t.typrelid = c.oid)) LIMIT 1) \
                 FROM found f JOIN pg_catalog.pg_rewrite r ON r.oid = f.rule JOIN pg_catalog.pg_class c ON c.oid = r.ev_class \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 GROUP BY c.oid, n.nspname, r.oid ORDER BY max(f.level), c.oid LIMIT {}",
                MAX_VIEWS + 1
            ),
            &parameters,
        )?;
        let mut dependents = Dependents::default();
        for row in &rules {
            dependents.add(row)?;
        }
        if rules.len() > MAX_VIEWS {
            let text = format!("more than {MAX_VIEWS} views depend on it");
            dependents.obstacles.push(text);
        }
        let others = client.query_typed(
            &format!(
                "{FOUND} SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) FROM wanted w \
                 JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = w.relation \
                      AND d.refobjsubid = w.attribute \
                 WHERE d.classid IN ('pg_catalog.pg_trigger'::regclass, 'pg_catalog.pg_policy'::regclass, \
                                     'pg_catalog.pg_proc'::regclass) \
                    OR d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = w.relation AND d.objsubid <> 0 \
                    OR EXISTS (SELECT 1 FROM pg_catalog.pg_attrdef a WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass \
                               AND a.oid = d.objid AND a.adnum <> w.attribute) \
                    OR EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid = d.classid AND c.relname = 'pg_publication_rel') \
                 LIMIT 20"
            ),
            &parameters[..2],
        )?;
        for row in &others {
            dependents.obstacles.push(row.try_get(0)?);
        }
        Ok(dependents)
    }

    fn add(&mut self, row: &Row) -> Result<(), Error> {
        let (schema, name): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let quoted = format!("{}.{}", POSTGRES.quote(&schema), POSTGRES.quote(&name));
        let (kind, rule): (String, String) = (row.try_get(3)?, row.try_get(4)?);
        let owner: String = row.try_get(5)?;
        let other: Option<String> = row.try_get(12)?;
        let obstacle = match (kind.as_str(), rule.as_str()) {
            ("m", _) => Some(format!("materialized view {quoted}")),
            ("v", "_RETURN") if !row.try_get(6)? => {
                Some(format!("view {quoted} of role {}", POSTGRES.quote(&owner)))
            }
            ("v", "_RETURN") if row.try_get(7)? => {
                Some(format!("view {quoted}, which has triggers"))
            }
            ("v", "_RETURN") if row.try_get(8)? => Some(format!("view {quoted}, which has rules")),
            ("v", "_RETURN") if row.try_get(9)? => Some(format!(
                "view {quoted}, which is a temporary one of another session"
            )),
            ("v", "_RETURN") if row.try_get(10)? => {
                Some(format!("view {quoted}, which has security labels"))
            }
            ("v", "_RETURN") if row.try_get(11)? => {
                Some(format!("view {quoted}, which belongs to an extension"))
            }
            ("v", "_RETURN") => {
                other.map(|other| format!("view {quoted}, on which {other} depends"))
            }
            _ => Some(format!("rule {} on {quoted}", POSTGRES.quote(&rule))),
        };
        match obstacle {
            Some(obstacle) => self.obstacles.push(obstacle),
            None => self.views.push(View {
                oid: row.try_get(0)?,
                name: quoted,
                owner,
            }),
        }
        Ok(())
    }
}

/// The privilege on a role with which one may become it.
fn role_privilege(session: &Session) -> &'static str {
    if session.version_number >= SET_OPTION_VERSION {
        "SET"
    } else {
        "MEMBER"
    }
}

/// All that makes a view what it is, but for its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Traits {
    owner: String,
    options: Vec<String>,
    comment: Option<String>,
    columns: Vec<Column>,
    /// Without those who granted: where we can't become one of them, the owner grants in its place.
    grants: HashSet<(Option<String>, String, String, bool)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    default: Option<String>,
    comment: Option<String>,
}

/// A privilege that somebody has on a view, or on one of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    column: Option<String>,
    grantor: String,
    /// Quoted, or `PUBLIC`.
    grantee: String,
    privilege: String,
    grantable: bool,
    /// We may grant it in the grantor's name.
    may_become: bool,
}

/// A view that was dropped.
#[derive(Debug)]
pub(super) struct Dropped {
    view: View,
    definition: String,
    traits: Traits,
    grants: Vec<Grant>,
}

/// Keeps others away from a view, so that it is dropped as it was read. Nothing but this locks a view in all versions.
pub(super) fn lock(transaction: &mut Transaction<'_>, view: &View) -> Result<(), Error> {
    let View { name, owner, .. } = view;
    transaction.batch_execute(&format!(
        "ALTER VIEW {name} OWNER TO {}",
        POSTGRES.quote(owner)
    ))
}

/// Drops the views, all together; `search_path` is empty. Fails where something depends on one of them that was not found.
pub(super) fn drop_all(
    transaction: &mut Transaction<'_>,
    session: &Session,
    views: Vec<View>,
) -> Result<Vec<Dropped>, Error> {
    let mut dropped = Vec::new();
    for view in views {
        let definition = transaction
            .query_typed_one(
                "SELECT pg_catalog.pg_get_viewdef($1::oid)",
                &[(&view.oid, Type::OID)],
            )?
            .try_get(0)?;
        let grants = grants(transaction, session, view.oid)?;
        dropped.push(Dropped {
            traits: traits(transaction, view.oid, &grants)?,
            view,
            definition,
            grants,
        });
    }
    let names: Vec<&str> = dropped
        .iter()
        .map(|dropped| dropped.view.name.as_str())
        .collect();
    if !names.is_empty() {
        transaction.batch_execute(&format!("DROP VIEW {}", names.join(", ")))?;
    }
    Ok(dropped)
}

impl Dropped {
    /// Makes the view again; returns false where it is not in every way as it was.
    pub(super) fn restore(
        &self,
        transaction: &mut Transaction<'_>,
        session: &Session,
    ) -> Result<bool, Error> {
        transaction.batch_execute(&self.statement())?;
        let oid: u32 = transaction
            .query_typed_one(
                "SELECT $1::text::regclass::oid",
                &[(&self.view.name, Type::TEXT)],
            )?
            .try_get(0)?;
        self.grant(transaction, session, oid)?;
        let grants = grants(transaction, session, oid)?;
        Ok(traits(transaction, oid, &grants)? == self.traits)
    }

    /// The view with its options, owner, defaults and comments.
    fn statement(&self) -> String {
        let name = &self.view.name;
        let columns: Vec<String> = (self.traits.columns.iter())
            .map(|column| POSTGRES.quote(&column.name))
            .collect();
        let options: Vec<String> = (self.traits.options.iter())
            .filter_map(|option| option.split_once('='))
            .map(|(option, value)| format!("{} = {}", POSTGRES.quote(option), literal(value)))
            .collect();
        let with = match options.as_slice() {
            [] => String::new(),
            options => format!(" WITH ({})", options.join(", ")),
        };
        let mut sql = format!(
            "CREATE VIEW {name} ({}){with} AS {};",
            columns.join(", "),
            self.definition.trim_end().trim_end_matches(';')
        );
        for (column, quoted) in self.traits.columns.iter().zip(&columns) {
            if let Some(default) = &column.default {
                sql.push_str(&format!(
                    "ALTER VIEW {name} ALTER COLUMN {quoted} SET DEFAULT {default};"
                ));
            }
            if let Some(comment) = &column.comment {
                let comment = literal(comment);
                sql.push_str(&format!("COMMENT ON COLUMN {name}.{quoted} IS {comment};"));
            }
        }
        if let Some(comment) = &self.traits.comment {
            sql.push_str(&format!("COMMENT ON VIEW {name} IS {};", literal(comment)));
        }
        let owner = POSTGRES.quote(&self.traits.owner);
        sql.push_str(&format!("ALTER VIEW {name} OWNER TO {owner}"));
        sql
    }

    /// Grants what was granted, and nothing that default privileges have added.
    fn grant(
        &self,
        transaction: &mut Transaction<'_>,
        session: &Session,
        oid: u32,
    ) -> Result<(), Error> {
        let name = &self.view.name;
        let new = grants(transaction, session, oid)?;
        if new.len() == self.grants.len() && new.iter().all(|grant| self.grants.contains(grant)) {
            return Ok(());
        }
        let all: HashSet<&str> = new.iter().map(|grant| grant.grantee.as_str()).collect();
        for grantee in all {
            transaction.batch_execute(&format!("REVOKE ALL ON {name} FROM {grantee}"))?;
        }
        let mut waiting: Vec<&Grant> = self.grants.iter().collect();
        let mut options: HashMap<(&str, &str), Vec<Option<&str>>> = HashMap::new();
        while !waiting.is_empty() {
            let (now, later): (Vec<&Grant>, Vec<&Grant>) = waiting.iter().partition(|grant| {
                grant.grantor == self.traits.owner
                    || (options.get(&(grant.grantor.as_str(), grant.privilege.as_str())))
                        .is_some_and(|columns| {
                            columns.contains(&None) || columns.contains(&grant.column.as_deref())
                        })
            });
            // A circle of grants, which PostgreSQL does not let anybody make: the owner grants them all.
            let (now, later) = if now.is_empty() {
                (later, now)
            } else {
                (now, later)
            };
            for grant in now {
                self.grant_one(transaction, grant)?;
                if grant.grantable {
                    let key = (grant.plain_grantee(), grant.privilege.as_str());
                    options
                        .entry(key)
                        .or_default()
                        .push(grant.column.as_deref());
                }
            }
            waiting = later;
        }
        Ok(())
    }

    fn grant_one(&self, transaction: &mut Transaction<'_>, grant: &Grant) -> Result<(), Error> {
        let column = grant
            .column
            .as_ref()
            .map(|column| format!(" ({})", POSTGRES.quote(column)))
            .unwrap_or_default();
        let option = if grant.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let sql = format!(
            "GRANT {}{column} ON {} TO {}{option}",
            grant.privilege, self.view.name, grant.grantee
        );
        if grant.grantor == self.traits.owner || !grant.may_become {
            return transaction.batch_execute(&sql);
        }
        let before: String = transaction
            .query_typed_one("SELECT pg_catalog.current_setting('role')", &[])?
            .try_get(0)?;
        let back = match before.as_str() {
            "none" => "NONE".to_owned(),
            role => POSTGRES.quote(role),
        };
        transaction.batch_execute(&format!(
            "SET LOCAL ROLE {}; {sql}; SET LOCAL ROLE {back}",
            POSTGRES.quote(&grant.grantor)
        ))
    }
}

impl Grant {
    /// The grantee as a grantor is named.
    fn plain_grantee(&self) -> &str {
        let unquoted = self
            .grantee
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'));
        unquoted.unwrap_or(&self.grantee)
    }
}

/// Everything that is granted on a view, the owner's own privileges included.
fn grants(
    transaction: &mut Transaction<'_>,
    session: &Session,
    oid: u32,
) -> Result<Vec<Grant>, Error> {
    let rows = transaction.query_typed(
        "SELECT g.col::text, pg_catalog.pg_get_userbyid(g.grantor)::text, \
                CASE g.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(g.grantee)::text END, \
                g.privilege_type::text, g.is_grantable, \
                pg_catalog.pg_has_role(g.grantor, $2) AND pg_catalog.has_schema_privilege(g.grantor, g.relnamespace, 'USAGE') \
         FROM (SELECT NULL::name AS col, c.relnamespace, x.* FROM pg_catalog.pg_class c, \
                      pg_catalog.aclexplode(COALESCE(c.relacl, pg_catalog.acldefault('r', c.relowner))) x WHERE c.oid = $1 \
               UNION ALL SELECT a.attname, c.relnamespace, x.* FROM pg_catalog.pg_class c \
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid, pg_catalog.aclexplode(a.attacl) x \
               WHERE c.oid = $1 AND a.attnum > 0 AND NOT a.attisdropped) g LIMIT 10000",
        &[
            (&oid, Type::OID),
            (&role_privilege(session), Type::TEXT),
        ],
    )?;
    let grant = |row: &Row| {
        let grantee: Option<String> = row.try_get(2)?;
        Ok(Grant {
            column: row.try_get(0)?,
            grantor: row.try_get(1)?,
            grantee: grantee.map_or_else(|| "PUBLIC".to_owned(), |role| POSTGRES.quote(&role)),
            privilege: row.try_get(3)?,
            grantable: row.try_get(4)?,
            may_become: row.try_get(5)?,
        })
    };
    rows.iter().map(grant).collect()
}

fn traits(transaction: &mut Transaction<'_>, oid: u32, grants: &[Grant]) -> Result<Traits, Error> {
    let view = transaction.query_typed_one(
        "SELECT pg_catalog.pg_get_userbyid(c.relowner)::text, COALESCE(c.reloptions, '{}')::text[], \
                pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c WHERE c.oid = $1",
        &[(&oid, Type::OID)],
    )?;
    let columns = transaction.query_typed(
        "SELECT a.attname::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
                pg_catalog.col_description(a.attrelid, a.attnum) \
         FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum LIMIT 10000",
        &[(&oid, Type::OID)],
    )?;
    let column = |row: &Row| {
        Ok(Column {
            name: row.try_get(0)?,
            default: row.try_get(1)?,
            comment: row.try_get(2)?,
        })
    };
    let mut options: Vec<String> = view.try_get(1)?;
    options.sort_unstable();
    Ok(Traits {
        owner: view.try_get(0)?,
        options,
        comment: view.try_get(2)?,
        columns: columns.iter().map(column).collect::<Result<_, Error>>()?,
        grants: grants
            .iter()
            .map(|grant| {
                let (column, grantee) = (grant.column.clone(), grant.grantee.clone());
                (column, grantee, grant.privilege.clone(), grant.grantable)
            })
            .collect(),
    })
}
