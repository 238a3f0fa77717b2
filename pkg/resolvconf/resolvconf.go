// Package resolvconf is the one writer of a guest's /etc/resolv.conf, resolv.conf(5).
//
// The file is mounted over that of the image, as container runtimes do it: the image stays as it is, and whatever it has
// there (a file, nothing, a symbolic link to what another system's service would write) makes no difference. Updates are
// written to the same file, so that every mount namespace has them.
package resolvconf

import (
	"slices"

	"github.com/krunbox/krunbox/pkg/inet"
)

// Limits of resolvers: glibc and musl read three servers (MAXNS), glibc before version 2.26 six domains of at most 256
// bytes. musl skips a line of more than 255 bytes, its end included.
const (
	maxServers    = 3
	maxDomains    = 6
	maxSearchLine = 255
)

// header is the first line of what this package writes.
const header = "# Written by krunbox, from what DHCP servers and IPv6 routers say. The image's own file is below this mount.\n"

// Server is a name server.
type Server struct {
	Addr inet.Addr
	Zone string // of a link-local IPv6 address: the interface's name
}

// String returns the server as resolv.conf has it.
func (s Server) String() string {
	if s.Zone == "" {
		return s.Addr.String()
	}
	return s.Addr.String() + "%" + s.Zone
}

// Config is what resolvers need to know.
type Config struct {
	Servers []Server // in the order in which they are asked
	Search  []string // domains for names without a dot
}

// Merge returns what several sources say as one. Of their servers the first ones come first, then the second ones and so on:
// each source is heard, as a resolver asks only three. Search lists follow each other. What can't be the address of a host, or
// a domain name, is left out.
func Merge(configs ...Config) Config {
	var merged Config
	for rank := 0; ; rank++ {
		more := false
		for _, c := range configs {
			if rank >= len(c.Servers) {
				continue
			}
			more = true
			s := c.Servers[rank]
			if s.Addr.IsHost() && len(merged.Servers) < maxServers && !slices.Contains(merged.Servers, s) {
				merged.Servers = append(merged.Servers, s)
			}
		}
		if !more || len(merged.Servers) == maxServers {
			break
		}
	}
	length := len("search\n")
	for _, c := range configs {
		for _, domain := range c.Search {
			if len(merged.Search) == maxDomains || slices.Contains(merged.Search, domain) || !inet.ValidName(domain) ||
				length+1+len(domain) > maxSearchLine {
				continue
			}
			merged.Search = append(merged.Search, domain)
			length += 1 + len(domain)
		}
	}
	return merged
}

// Text returns the file for a configuration that Merge returned; nil if it has no servers.
func (c Config) Text() []byte {
	if len(c.Servers) == 0 {
		return nil
	}
	b := []byte(header)
	for i, domain := range c.Search {
		if i == 0 {
			b = append(b, "search"...)
		}
		b = append(append(b, ' '), domain...)
	}
	if len(c.Search) > 0 {
		b = append(b, '\n')
	}
	for _, s := range c.Servers {
		b = append(b, "nameserver "+s.String()+"\n"...)
	}
	return b
}
