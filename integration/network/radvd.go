package network

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Radvd is an IPv6 router, radvd. It has no DHCPv6 server; use Kea6 or Dhcpd6 in addition.
type Radvd struct{ Advert }

func (r Radvd) start(ctx context.Context, s *Segment, dir string) (service, error) {
	// radvd does not send advertisements on a host that does not forward packets.
	err := s.ns.do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0)
	})
	if err != nil {
		return nil, err
	}
	var config strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&config, format+";\n", args...) }
	fmt.Fprintf(&config, "interface %s {\n", segmentInterface)
	line("AdvSendAdvert on")
	line("AdvManagedFlag %s", onOff(r.Managed))
	line("AdvOtherConfigFlag %s", onOff(r.Other))
	if r.MTU != 0 {
		line("AdvLinkMTU %d", r.MTU)
	}
	if r.Prefix.IsValid() {
		line("prefix %v { AdvAutonomous %s; }", r.Prefix.Masked(), onOff(r.SLAAC))
	}
	if len(r.DNS) > 0 {
		line("RDNSS %s { }", join(r.DNS, " "))
	}
	if len(r.Search) > 0 {
		line("DNSSL %s { }", strings.Join(r.Search, " "))
	}
	line("}")
	return s.run(ctx, dir, program{
		name:   "radvd",
		config: config.String(),
		args: []string{"--nodaemon", "--debug=1", "--logmethod=stderr",
			"--config", configFile, "--pidfile", filepath.Join(dir, "pid")},
		ready: "started",
	})
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
