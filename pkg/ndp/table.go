package ndp

import (
	"slices"
	"time"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Limits of a Table, so that nobody on the link can make it grow: routers, and the servers and the domains of each. Resolvers
// ask three servers and some six domains.
const (
	mostRouters = 8
	mostOfEach  = 8
)

// Table is what routers have said, as long as it is valid. The zero value is empty.
//
// What one router says changes nothing of what another has said. Servers and domains are valid as long as their options say,
// and not only as long as their router is a default router: RFC 4861 section 4.2 keeps these apart, and routers of networks
// that lead nowhere else have name servers, too. When there is no more room, what is there stays.
type Table struct {
	routers []router
}

// router is what one router has said last. It is forgotten when nothing of that is valid any more.
type router struct {
	addr           inet.Addr
	until          time.Duration // as default router; 0 for what is none
	managed, other bool
	servers        []entry[inet.Addr]
	search         []entry[string]
}

// entry is something valid until a time; Infinite for ever.
type entry[T comparable] struct {
	value T
	until time.Duration
}

// Update takes in an advertisement that arrived at a time.
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

// router returns the router with that address, maybe a new one; nil if there is no room.
func (t *Table) router(addr inet.Addr) *router {
	for i := range t.routers {
		if t.routers[i].addr == addr {
			return &t.routers[i]
		}
	}
	if len(t.routers) == mostRouters {
		return nil
	}
	t.routers = append(t.routers, router{addr: addr})
	return &t.routers[len(t.routers)-1]
}

// update sets how long a value of a list is valid. Values keep their places: an advertisement may have some of them only.
func update[T comparable](list []entry[T], value T, now, lifetime time.Duration) []entry[T] {
	if lifetime == 0 {
		return slices.DeleteFunc(list, func(e entry[T]) bool { return e.value == value })
	}
	until := Infinite
	if lifetime != Infinite {
		until = now + lifetime
	}
	for i := range list {
		if list[i].value == value {
			list[i].until = until
			return list
		}
	}
	if len(list) == mostOfEach {
		return list
	}
	return append(list, entry[T]{value, until})
}

// Expire forgets what is not valid any more.
func (t *Table) Expire(now time.Duration) {
	for i := range t.routers {
		r := &t.routers[i]
		if r.until <= now {
			r.until = 0
		}
		r.servers = slices.DeleteFunc(r.servers, func(e entry[inet.Addr]) bool { return e.until <= now })
		r.search = slices.DeleteFunc(r.search, func(e entry[string]) bool { return e.until <= now })
	}
	t.routers = slices.DeleteFunc(t.routers, func(r router) bool {
		return r.until == 0 && len(r.servers) == 0 && len(r.search) == 0
	})
}

// Deadline returns when to call Expire. It is false when nothing expires.
func (t *Table) Deadline() (at time.Duration, ok bool) {
	at = Infinite
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
	return at, at != Infinite
}

// Servers returns the name servers, each once, those of the router that was heard first before those of others.
func (t *Table) Servers(now time.Duration) (all []inet.Addr) {
	for _, r := range t.routers {
		all = appendValid(all, r.servers, now)
	}
	return all
}

// Search returns the search list, each domain once, in the same order.
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

// Routers returns the default routers, in the order in which they were heard first.
func (t *Table) Routers(now time.Duration) (all []inet.Addr) {
	for _, r := range t.routers {
		if r.until > now {
			all = append(all, r.addr)
		}
	}
	return all
}

// Managed tells whether a router wants addresses to be had by DHCPv6.
func (t *Table) Managed() bool {
	return slices.ContainsFunc(t.routers, func(r router) bool { return r.managed })
}

// Other tells whether a router wants other things than addresses to be had by DHCPv6.
func (t *Table) Other() bool {
	return slices.ContainsFunc(t.routers, func(r router) bool { return r.other })
}
