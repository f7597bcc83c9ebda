"""Zones: the IANA name of a time zone as a help desk writes it."""

from __future__ import annotations

import functools
from zoneinfo import ZoneInfo, available_timezones

from incident_kit.errors import InvalidClock, did_you_mean

# Rails names, as Zendesk and its warehouses write them; those that are the last part of an IANA name are found without
_RAILS = {
    "International Date Line West": "Etc/GMT+12",
    "Midway Island": "Pacific/Midway",
    "American Samoa": "Pacific/Pago_Pago",
    "Hawaii": "Pacific/Honolulu",
    "Alaska": "America/Juneau",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "Mountain Time (US & Canada)": "America/Denver",
    "Arizona": "America/Phoenix",
    "Central Time (US & Canada)": "America/Chicago",
    "Central America": "America/Guatemala",
    "Saskatchewan": "America/Regina",
    "Guadalajara": "America/Mexico_City",
    "Eastern Time (US & Canada)": "America/New_York",
    "Indiana (East)": "America/Indiana/Indianapolis",
    "Quito": "America/Lima",
    "Atlantic Time (Canada)": "America/Halifax",
    "Georgetown": "America/Guyana",
    "Newfoundland": "America/St_Johns",
    "Buenos Aires": "America/Argentina/Buenos_Aires",
    "Brasilia": "America/Sao_Paulo",
    "Greenland": "America/Nuuk",
    "Mid-Atlantic": "Atlantic/South_Georgia",
    "Cape Verde Is.": "Atlantic/Cape_Verde",
    "Edinburgh": "Europe/London",
    "Bern": "Europe/Zurich",
    "West Central Africa": "Africa/Algiers",
    "Istanbul": "Europe/Istanbul",
    "Kyiv": "Europe/Kyiv",
    "Kyev": "Europe/Kyiv",
    "Harare": "Africa/Harare",
    "Pretoria": "Africa/Johannesburg",
    "St. Petersburg": "Europe/Moscow",
    "Abu Dhabi": "Asia/Muscat",
    "Islamabad": "Asia/Karachi",
    "Ekaterinburg": "Asia/Yekaterinburg",
    "Chennai": "Asia/Kolkata",
    "Mumbai": "Asia/Kolkata",
    "New Delhi": "Asia/Kolkata",
    "Sri Jayawardenepura": "Asia/Colombo",
    "Astana": "Asia/Dhaka",
    "Rangoon": "Asia/Yangon",
    "Hanoi": "Asia/Bangkok",
    "Beijing": "Asia/Shanghai",
    "Kuala Lumpur": "Asia/Kuala_Lumpur",
    "Ulaanbaatar": "Asia/Ulaanbaatar",
    "Osaka": "Asia/Tokyo",
    "Sapporo": "Asia/Tokyo",
    "Canberra": "Australia/Melbourne",
    "Solomon Is.": "Pacific/Guadalcanal",
    "New Caledonia": "Pacific/Noumea",
    "Marshall Is.": "Pacific/Majuro",
    "Wellington": "Pacific/Auckland",
    "Nuku'alofa": "Pacific/Tongatapu",
    "Tokelau Is.": "Pacific/Fakaofo",
    "Chatham Is.": "Pacific/Chatham",
    "Samoa": "Pacific/Apia",
}


@functools.cache
def zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name, or of a help desk's own name for it such as ``Eastern Time (US & Canada)``.

    Raises
    ------
    InvalidClock
        No zone has that name.

    Examples
    --------
    >>> zone("Pacific Time (US & Canada)").key, zone("London").key
    ('America/Los_Angeles', 'Europe/London')
    """
    known = available_timezones()
    found = name if name in known else _RAILS.get(name) or _cities().get(name.strip().casefold().replace(" ", "_"))
    if found is None:
        near = did_you_mean(name, [*_RAILS, *known])
        raise InvalidClock(f"there is no time zone {name[:60]!r}{near}; write an IANA name such as 'Europe/Berlin'")
    return ZoneInfo(found)


@functools.cache
def _cities() -> dict[str, str]:
    """Return IANA names by their last part, where only one zone of the continents has it."""
    continents = ("Africa", "America", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    found: dict[str, list[str]] = {}
    for name in sorted(available_timezones()):
        if name.startswith(continents) and "/" in name:
            found.setdefault(name.rsplit("/", 1)[1].casefold(), []).append(name)
    return {city: names[0] for city, names in found.items() if len(names) == 1}
