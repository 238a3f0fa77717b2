package netif

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Up is the operation that sets the interface Name up.
type Up struct{ Name string }

func (u Up) Describe() op.Description { return op.Describe("interface up", u.Name) }

func (u Up) Do() error {
	c, err := Open()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.SetUp(u.Name)
	return err
}

// Address is the operation that gives the interface Name an IPv4 address, in place of the first one
// that it has, and sets it up.
type Address struct {
	Name   string
	Prefix netip.Prefix // with the bits of the host
}

func (a Address) Describe() op.Description {
	return op.Describe("interface address", a.Name, "address", a.Prefix)
}

func (a Address) Do() error {
	if !a.Prefix.Addr().Is4() {
		return fmt.Errorf("set address %v of %s: %w", a.Prefix, a.Name, unix.EINVAL)
	}
	c, err := Open()
	if err != nil {
		return err
	}
	defer c.Close()
	link, err := c.Link(a.Name)
	if err != nil {
		return err
	}
	addresses, err := c.Addresses(link.Index)
	if err != nil {
		return err
	}
	var changes []Change
	isIPv4 := func(old IfAddr) bool { return old.Prefix.Addr().Is4() }
	if k := slices.IndexFunc(addresses, isIPv4); k >= 0 {
		changes = append(changes,
			Change{Kind: DeleteAddress, Index: link.Index, Address: addresses[k]})
	}
	changes = append(changes, Change{
		Kind: SetAddress, Index: link.Index,
		Address: IfAddr{Prefix: a.Prefix, Valid: Infinite, Preferred: Infinite},
	})
	if err := c.Do(changes...); err != nil {
		return fmt.Errorf("configure %s: %w", a.Name, err)
	}
	_, err = c.SetUp(a.Name)
	return err
}
