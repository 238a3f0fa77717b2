package guestconfig

import (
	"fmt"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/pkg/oci"
)

// reportValue adds a value that is unknown or can't be granted to c.Unsupported, once. It limits the
// length of that list, because a file may have any number of such values.
func (c *Config) reportValue(field, value string) {
	const limit = 16 + 8 // values and fields
	note := fmt.Sprintf("%s %q", field, clip(value))
	if len(c.Unsupported) < limit && !slices.Contains(c.Unsupported, note) {
		c.Unsupported = append(c.Unsupported, note)
	}
}

// limitCapabilities removes capabilities that are unknown or can't be granted from the sets.
func (c *Config) limitCapabilities() {
	names := c.Process.Capabilities
	if names == nil {
		return
	}
	var sets oci.Capabilities
	lists := []struct {
		field string
		names *[]string
		set   *oci.CapabilitySet
	}{
		{"bounding", &names.Bounding, &sets.Bounding},
		{"effective", &names.Effective, &sets.Effective},
		{"inheritable", &names.Inheritable, &sets.Inheritable},
		{"permitted", &names.Permitted, &sets.Permitted},
		{"ambient", &names.Ambient, &sets.Ambient},
	}
	for _, list := range lists {
		for _, name := range *list.names {
			capability, ok := oci.ParseCapability(name)
			if ok {
				*list.set |= capability
			} else {
				c.reportValue("process.capabilities."+list.field, name)
			}
		}
	}
	var refused oci.CapabilitySet
	if sets, refused = sets.Grantable(); refused != 0 {
		c.reportValue("process.capabilities", strings.Join(refused.Names(), " "))
	}
	for _, list := range lists {
		*list.names = list.set.Names()
	}
}
