package cases

import (
	"bytes"
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestHostileFiles has a workload that puts FIFOs and links in the place of all files that process 1
// writes and reads, among them those of /proc, and FIFOs that nobody reads but that are open. Then it
// has process 1 use them: by a new lease with another name, a step of the clock, an interface that goes
// down and up, and an end by SIGKILL. Process 1 must not wait, nor write where a link leads.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		name := "first"
		if m.n > 0 {
			name = "second"
		}
		return replies(s, grant(m, dhcpv4.WithOption(dhcpv4.OptHostName(name)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, byte(100+m.n)))))
	})
	var stdout bytes.Buffer
	cfg := script(t, "amd64", `
echo untouched >/victim
plant() {
	rm -rf $1
	case $2 in
	link) ln -s /victim $1 ;;
	fifo) mkfifo $1 ;;
	open) mkfifo $1; sleep 1000 <>$1 & ;;
	esac
}
plant /dev/.clock.json $1
plant /dev/.boot.json $1
plant /dev/.hosts $1
plant /dev/kmsg $1
plant /dev/input $1
for file in /proc/sys/net/ipv6/conf/eth0/accept_dad /proc/sys/net/ipv6/conf/eth0/disable_ipv6 /proc/sys/net/ipv6/conf/eth0/accept_ra; do
	mkfifo /dev/planted 2>/dev/null
	mount --bind /dev/planted $file
done
date -s @$(($(date +%s) - 3600)) >/dev/null # process 1 asks for its lease again
ip link set eth0 down
ip link set eth0 up
until [ "$(hostname)" = second ]; do sleep 0.05; done
cat /victim
kill -9 $$
`)
	for _, kind := range []string{"link", "fifo", "open"} {
		t.Run(kind, func(t *testing.T) {
			cfg := cfg
			cfg.Args = append(cfg.Args[:1:1], kind)
			cfg.Env = []string{"KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=20000", "KRUN_DEBUG=1", "HOSTNAME="}
			cfg.Ports = []vm.Port{{Name: "krun-stdout", Out: &stdout}}
			s.Network.AddTo(&cfg)
			hostThatSends(t, &cfg)
			stdout.Reset()
			run(t, cfg, 137)
			if got, want := stdout.String(), "untouched\n"; got != want {
				t.Errorf("%s: the workload has printed %q, want %q", kind, got, want)
			}
		})
	}
}
