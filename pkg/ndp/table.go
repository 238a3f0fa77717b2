package ndp

import (
	"net/netip"
	"slices"
	"time"
)

// Limits of a Table, so that hosts on the link cannot make it grow. A resolver uses only three
// servers and about six domains.
const (
	maxRouters = 8
	maxValues  = 8 // servers of a router, and domains of a router
)

// Table keeps the contents of advertisements while they are valid. The zero value is an empty
// table.
//
// Each router has its own entries. Servers and domains are valid for the lifetime in their options,
// even if the router is not a default router (RFC 4861 section 4.2). When a limit is reached, new
// entries are dropped. As an exception, a new router replaces one that is not a default router,
// because the entries of that router may never expire.
type Table struct {
	routers []router
}

// router is a router and its entries. It is removed when it is not a default router and has no
// valid entry.
type router struct {
	addr           netip.Addr
	until          time.Duration // when it ends to be a default router; 0: the router is no default router
	managed, other bool
	servers        []entry[netip.Addr]
	search         []entry[string]
}

// entry is a value that is valid until a time, possibly Infinite.
type entry[T comparable] struct {
	value T
	until time.Duration
}

// Update adds the contents of an advertisement that arrived now.
func (t *Table) Update(now time.Duration, a Advertisement) {
	t.Expire(now)
	r := t.router(a.Router)
	if r == nil {
		return
	}
	r.managed, r.other = a.Managed, a.Other
	r.until = 0
	if a.RouterLifetime > 0 {
		r.until = now + a.RouterLifetime
	}
	for _, s := range a.Servers {
		r.servers = update(r.servers, s.Addr, now, s.Lifetime)
	}
	for _, d := range a.Search {
		r.search = update(r.search, d.Name, now, d.Lifetime)
	}
}

// router returns the router with the given address, which it adds if necessary. It returns nil if
// the table is full.
func (t *Table) router(addr netip.Addr) *router {
	for i := range t.routers {
		if t.routers[i].addr == addr {
			return &t.routers[i]
		}
	}
	if len(t.routers) == maxRouters {
		i := slices.IndexFunc(t.routers, func(r router) bool { return r.until == 0 })
		if i < 0 {
			return nil
		}
		t.routers = slices.Delete(t.routers, i, i+1)
	}
	t.routers = append(t.routers, router{addr: addr})
	return &t.routers[len(t.routers)-1]
}

// update sets the lifetime of a value in a list. It keeps the order and the other values, because
// an advertisement need not include all values of a router.
func update[T comparable](list []entry[T], value T, now, lifetime time.Duration) []entry[T] {
	i := slices.IndexFunc(list, func(e entry[T]) bool { return e.value == value })
	until := Infinite
	if lifetime != Infinite {
		until = now + lifetime
	}
	switch {
	case i >= 0 && lifetime == 0:
		return slices.Delete(list, i, i+1)
	case i >= 0:
		list[i].until = until
	case lifetime > 0 && len(list) < maxValues:
		return append(list, entry[T]{value, until})
	}
	return list
}

// Expire removes the entries whose lifetime has ended.
func (t *Table) Expire(now time.Duration) {
	for i := range t.routers {
		r := &t.routers[i]
		if r.until <= now {
			r.until = 0
		}
		r.servers = expire(r.servers, now)
		r.search = expire(r.search, now)
	}
	t.routers = slices.DeleteFunc(t.routers, func(r router) bool {
		return r.until == 0 && len(r.servers) == 0 && len(r.search) == 0
	})
}

func expire[T comparable](list []entry[T], now time.Duration) []entry[T] {
	return slices.DeleteFunc(list, func(e entry[T]) bool { return e.until <= now })
}

// Deadline returns the time at which to call Expire, or Infinite if no entry expires.
func (t *Table) Deadline() time.Duration {
	at := Infinite
	for _, r := range t.routers {
		if r.until != 0 {
			at = min(at, r.until)
		}
		for _, e := range r.servers {
			at = min(at, e.until)
		}
		for _, e := range r.search {
			at = min(at, e.until)
		}
	}
	return at
}

// Servers returns the name servers without duplicates, in the order in which the routers appeared.
func (t *Table) Servers(now time.Duration) (all []netip.Addr) {
	for _, r := range t.routers {
		all = appendValid(all, r.servers, now)
	}
	return all
}

// Search returns the search list without duplicates, in the order in which the routers appeared.
func (t *Table) Search(now time.Duration) (all []string) {
	for _, r := range t.routers {
		all = appendValid(all, r.search, now)
	}
	return all
}

func appendValid[T comparable](all []T, list []entry[T], now time.Duration) []T {
	for _, e := range list {
		if e.until > now && !slices.Contains(all, e.value) {
			all = append(all, e.value)
		}
	}
	return all
}

// Routers returns the default routers in the order in which they appeared.
func (t *Table) Routers(now time.Duration) (all []netip.Addr) {
	for _, r := range t.routers {
		if r.until > now {
			all = append(all, r.addr)
		}
	}
	return all
}

// Managed reports whether a router refers hosts to DHCPv6 for addresses.
func (t *Table) Managed() bool {
	return slices.ContainsFunc(t.routers, func(r router) bool { return r.managed })
}

// Other reports whether a router refers hosts to DHCPv6 for parameters other than addresses.
func (t *Table) Other() bool {
	return slices.ContainsFunc(t.routers, func(r router) bool { return r.other })
}
