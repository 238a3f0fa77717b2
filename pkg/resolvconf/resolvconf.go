// Package resolvconf writes a guest's /etc/resolv.conf, resolv.conf(5).
//
// It mounts a file over /etc/resolv.conf of the image, as container runtimes do. The file of the
// image stays unchanged, and may be missing or be a symbolic link. Updates are written to the
// mounted file, so that they reach every mount namespace.
package resolvconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/pkg/dnsname"
)

// Limits of resolvers: glibc and musl read three servers (MAXNS). glibc before version 2.26 reads
// six domains with a total of 256 bytes. musl skips a line of more than 255 bytes with its newline.
const (
	maxServers    = 3
	maxDomains    = 6
	maxSearchLine = 255
)

// header is the first line of the file.
const header = "# Written by krunbox, from what DHCP servers and IPv6 routers say. " +
	"The image's own file is below this mount.\n"

// Config is the configuration of a resolver.
type Config struct {
	// Servers are the name servers, in the order in which they are asked. The zone of a link-local
	// IPv6 address is the name of its interface.
	Servers []netip.Addr
	Search  []string // the domains in which a name without a dot is looked up
}

// Merge combines the configurations of several sources. A resolver uses only three servers, so
// Merge takes the first server of each source, then the second of each, up to three in total. It
// concatenates the search lists, up to the limits of resolvers. It omits servers that are not
// unicast addresses of other hosts, invalid domain names, and duplicates.
func Merge(configs ...Config) Config {
	return Config{Servers: mergeServers(configs), Search: mergeSearch(configs)}
}

func mergeServers(configs []Config) (merged []netip.Addr) {
	longest := 0
	for _, c := range configs {
		longest = max(longest, len(c.Servers))
	}
	for rank := range longest {
		for _, c := range configs {
			if rank >= len(c.Servers) || len(merged) == maxServers {
				continue
			}
			s := c.Servers[rank]
			if (s.IsGlobalUnicast() || s.IsLinkLocalUnicast()) && !slices.Contains(merged, s) {
				merged = append(merged, s)
			}
		}
	}
	return merged
}

func mergeSearch(configs []Config) (merged []string) {
	length := len("search\n")
	for _, c := range configs {
		for _, domain := range c.Search {
			longer := length + len(" ") + len(domain)
			if longer <= maxSearchLine && len(merged) < maxDomains &&
				dnsname.Valid(domain) && !slices.Contains(merged, domain) {
				merged = append(merged, domain)
				length = longer
			}
		}
	}
	return merged
}

// Text returns the text of the file for a configuration that Merge returned. It returns nil if
// there are no servers.
func (c Config) Text() []byte {
	if len(c.Servers) == 0 {
		return nil
	}
	b := []byte(header)
	if len(c.Search) > 0 {
		b = fmt.Appendf(b, "search %s\n", strings.Join(c.Search, " "))
	}
	for _, s := range c.Servers {
		b = fmt.Appendf(b, "nameserver %v\n", s)
	}
	return b
}
