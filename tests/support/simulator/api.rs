//! The endpoints of the API.

use super::campaign::Existence;
use super::config::{EmptyAs, FieldsAt, UnknownIds};
use super::counters::Endpoint;
use super::cursor::{Cursors, Refusal};
use super::events;
use super::fields;
use super::http::{Answer, Request};
use super::inbound;
use super::instant::{DAY, Instant, day_of, parse};
use super::json::Writer;
use super::random::pair;
use super::world::World;

/// What a request calls, by method and path.
pub fn endpoint(world: &World, request: &Request) -> Endpoint {
    let path = request.path();
    let Some(rest) = path
        .strip_prefix("/api/campaigns/")
        .and_then(|rest| rest.strip_prefix(world.campaign.config.campaign.as_str()))
    else {
        return Endpoint::Other;
    };
    match (request.method.as_str(), rest) {
        ("GET", "/fields/list") => Endpoint::Fields,
        ("GET", "" | "/") => Endpoint::Campaign,
        ("GET", "/contacts/list") => Endpoint::List,
        ("POST", "/contacts/") => Endpoint::Contacts,
        ("GET", "/contacts/transactions/") => Endpoint::Events,
        ("GET", "/inbound/calls/") => Endpoint::Inbound,
        _ => Endpoint::Other,
    }
}

/// The ids in the body of POST contacts/.
pub fn posted_ids(request: &Request) -> Option<Vec<String>> {
    serde_json::from_slice(&request.body).ok()
}

/// The right answer to a request.
pub fn answer(world: &World, endpoint: Endpoint, request: &Request, now: Instant) -> Answer {
    let config = &world.campaign.config;
    let bearer = format!("Bearer {}", world.token.lock().unwrap());
    let campaign = format!("/api/campaigns/{}", config.campaign);
    if request.header("authorization") != Some(bearer.as_str())
        || !request.path().starts_with(&campaign)
    {
        return forbidden();
    }
    let result = match endpoint {
        Endpoint::Fields | Endpoint::Campaign => fields(world, endpoint, now),
        Endpoint::List => list(world, request, now),
        Endpoint::Contacts => contacts(world, request, now),
        Endpoint::Events => transactions(world, request, now),
        Endpoint::Inbound => calls(world, request, now),
        Endpoint::Other => Err(Answer::plain(404, "404 - Not Found")),
    };
    let form = *world.form.lock().unwrap();
    result.map_or_else(
        |refusal| refusal,
        |body| Answer::json(form.apply(endpoint, body)),
    )
}

/// The answer to a wrong token, and to wrong paths.
pub fn forbidden() -> Answer {
    Answer::plain(403, "403 - Forbidden")
}

type Body = Result<Vec<u8>, Answer>;

fn bad(why: &str) -> Answer {
    Answer::plain(400, why)
}

fn writer(world: &World) -> Writer {
    Writer::new(world.campaign.config.readings.empty_as)
}

fn fields(world: &World, endpoint: Endpoint, now: Instant) -> Body {
    let mut writer = writer(world);
    let wrapped = endpoint == Endpoint::Campaign;
    if !wrapped && world.campaign.config.readings.fields_at == FieldsAt::Campaign {
        return Err(Answer::plain(404, "404 - Not Found"));
    }
    writer.raw(if wrapped {
        "{\"form\":{\"elements\":["
    } else {
        "["
    });
    for (nth, element) in fields::elements(&world.campaign.config, now)
        .iter()
        .enumerate()
    {
        if nth > 0 {
            writer.raw(",");
        }
        writer.fields(element);
    }
    writer.raw(if wrapped { "]}}" } else { "]" });
    Ok(writer.out)
}

/// `limit`, `cursor` and what identifies the rest of the query.
struct Paging<const N: usize> {
    limit: usize,
    after: Option<[i64; N]>,
    query: String,
}

fn paging<const N: usize>(
    world: &World,
    request: &Request,
    now: Instant,
) -> Result<Paging<N>, Answer> {
    let readings = &world.campaign.config.readings;
    let limit = match request.parameter("limit") {
        None => readings.page_cap,
        Some(limit) => match limit.parse::<usize>() {
            Ok(limit) if limit > 0 => limit.min(readings.page_cap),
            _ => return Err(bad("limit is no positive number")),
        },
    };
    let mut parameters: Vec<&str> = request
        .query()
        .split('&')
        .filter(|p| !p.starts_with("cursor=") && !p.starts_with("limit=") && !p.is_empty())
        .collect();
    parameters.sort_unstable();
    let query = format!("{}?{}", request.path(), parameters.join("&"));
    let after = match request.parameter("cursor").filter(|c| !c.is_empty()) {
        None => None,
        Some(cursor) => match world
            .cursors
            .take(&cursor, &query, readings.cursor_life, now)
        {
            Ok(numbers) => Some(numbers),
            Err(Refusal::Wrong) => return Err(bad("cursor does not belong to this query")),
            Err(Refusal::Expired) => {
                return Err(Answer::plain(readings.cursor_life.status, "cursor expired"));
            }
        },
    };
    Ok(Paging {
        limit,
        after,
        query,
    })
}

/// `{"count":…,"results":[…],"cursor":…}`
fn page<T>(
    world: &World,
    entries: &[T],
    cursor: Option<String>,
    mut write: impl FnMut(&mut Writer, &T),
) -> Vec<u8> {
    let mut writer = writer(world);
    writer.raw(&format!("{{\"count\":{},\"results\":[", entries.len()));
    for (nth, entry) in entries.iter().enumerate() {
        if nth > 0 {
            writer.raw(",");
        }
        write(&mut writer, entry);
    }
    writer.raw("]");
    match (cursor, world.campaign.config.readings.empty_as) {
        (Some(cursor), _) => writer.raw(&format!(",\"cursor\":\"{cursor}\"")),
        (None, EmptyAs::Text) => writer.raw(",\"cursor\":\"\""),
        (None, EmptyAs::Null) => writer.raw(",\"cursor\":null"),
        (None, EmptyAs::Missing) => {}
    }
    writer.raw("}");
    writer.out
}

fn list(world: &World, request: &Request, now: Instant) -> Body {
    let paging = paging::<3>(world, request, now)?;
    let since = match request.parameter("changedSince") {
        None => None,
        Some(day) if day.len() == 10 => Some(day_of(
            parse(&day).ok_or_else(|| bad("changedSince is no date"))?,
        )),
        Some(_) => return Err(bad("changedSince is no date")),
    };
    let after = paging
        .after
        .map(|[day, prefix, contact]| (day as u32, prefix as u32, contact as u32));
    let (found, more) = world.listing.lock().unwrap().page(
        &world.campaign,
        &world.events,
        since,
        after,
        paging.limit,
        now,
    );
    let last = found.last().filter(|_| more);
    let cursor = last.map(|(day, prefix, contact)| {
        Cursors::give(
            &paging.query,
            now,
            &[i64::from(*day), i64::from(*prefix), i64::from(*contact)],
        )
    });
    Ok(page(world, &found, cursor, |writer, (_, _, contact)| {
        let campaign = &world.campaign;
        let id = campaign.id(*contact);
        let until = campaign.deleted(*contact).map_or(now, |at| at.min(now));
        let changed = campaign.last_change(*contact, until).unwrap_or(0);
        if campaign.config.oddities && contact % 151 == 21 {
            writer.raw(&format!("{{\"id\":\"{id}\"}}"));
        } else {
            let md5 = campaign.checksum(*contact, changed);
            writer.raw(&format!("{{\"id\":\"{id}\",\"md5\":\"{md5}\"}}"));
        }
    }))
}

fn contacts(world: &World, request: &Request, now: Instant) -> Body {
    let readings = &world.campaign.config.readings;
    let ids = posted_ids(request).ok_or_else(|| bad("body is no array of ids"))?;
    if readings.max_ids.is_some_and(|most| ids.len() > most) {
        return Err(Answer::plain(413, "too many ids"));
    }
    let with_md5 = request.parameter("include_md5").as_deref() == Some("true");
    let mut writer = writer(world);
    writer.raw("[");
    let mut documents = 0;
    let mut separate = false;
    let mut found: Vec<Option<u32>> = ids
        .iter()
        .map(|id| {
            let contact = world.campaign.find(id, now)?;
            (world.campaign.existence(contact, now) == Existence::Live).then_some(contact)
        })
        .collect();
    // The order of the answer is not that of the question.
    found.sort_by_key(|contact| contact.map(|c| pair(17, u64::from(c))));
    for contact in found {
        let Some(contact) = contact else {
            match readings.unknown_ids {
                UnknownIds::Absent => continue,
                UnknownIds::Error404 => return Err(Answer::plain(404, "404 - Not Found")),
                UnknownIds::Error500 => return Err(Answer::plain(500, "internal error")),
                UnknownIds::Null => {}
            }
            writer.raw(if std::mem::replace(&mut separate, true) {
                ",null"
            } else {
                "null"
            });
            continue;
        };
        let Some(mut document) = world.contacts.contact(&world.campaign, contact, now) else {
            continue;
        };
        if std::mem::replace(&mut separate, true) {
            writer.raw(",");
        }
        if !with_md5 {
            document.fields.0.retain(|(name, _)| name != "$md5");
        }
        writer.contact(&document);
        documents += 1;
    }
    writer.raw("]");
    world.counters.lock().unwrap().documents += documents;
    Ok(writer.out)
}

fn times(request: &Request) -> Result<(Option<Instant>, Option<Instant>), Answer> {
    let time = |name: &str| {
        request
            .parameter(name)
            .map(|text| parse(&text).ok_or_else(|| bad(&format!("{name} is no time"))))
            .transpose()
    };
    Ok((time("from")?, time("to")?))
}

fn transactions(world: &World, request: &Request, now: Instant) -> Body {
    let paging = paging::<4>(world, request, now)?;
    let (from, to) = times(request)?;
    let query = events::Query {
        from: from.ok_or_else(|| bad("from is missing"))?,
        to,
        kind: request.parameter("type"),
        human: request.parameter("hi").as_deref() == Some("true"),
        tasks: request
            .parameter("tasks")
            .map(|t| t.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        after: paging
            .after
            .map(|[at, contact, slot, rank]| (at, contact as u32, slot, rank as u8)),
        limit: paging.limit,
    };
    let (found, more) = world.events.page(&world.campaign, &query, now);
    let last = found.last().filter(|_| more);
    let cursor = last.map(|(at, contact, slot, rank)| {
        Cursors::give(
            &paging.query,
            now,
            &[*at, i64::from(*contact), *slot, i64::from(*rank)],
        )
    });
    Ok(page(world, &found, cursor, |writer, position| {
        events::write(&world.campaign, position, now, writer);
    }))
}

fn calls(world: &World, request: &Request, now: Instant) -> Body {
    let campaign = &world.campaign;
    let paging = paging::<3>(world, request, now)?;
    let (from, to) = times(request)?;
    let first = campaign.start + inbound::first_day(campaign) * DAY;
    let from = from.unwrap_or(first).max(first);
    let inclusive = campaign.config.readings.to_inclusive;
    let begin = paging.after.map_or(from, |[at, ..]| at.max(from));
    let end = to.map_or(now, |to| to.min(now));
    let mut found: Vec<([i64; 3], inbound::Call)> = Vec::new();
    let mut cursor = None;
    'days: for day in inbound::day_of(campaign, begin)..=inbound::day_of(campaign, end) {
        for (at, call) in inbound::of_day(campaign, day, now) {
            let place = [at, call.place.0, i64::from(call.place.1)];
            let in_time = at >= from && to.is_none_or(|to| at < to || (inclusive && at == to));
            if !in_time || paging.after.is_some_and(|after| place <= after) {
                continue;
            }
            if found.len() == paging.limit {
                cursor = found
                    .last()
                    .map(|(place, _)| Cursors::give(&paging.query, now, place));
                break 'days;
            }
            found.push((place, call));
        }
    }
    Ok(page(world, &found, cursor, |writer, (_, call)| {
        writer.fields(&call.document(campaign, now));
    }))
}
