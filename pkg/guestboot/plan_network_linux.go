package guestboot

import (
	"net/netip"

	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/netif"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/system"
)

// tsiAddress is the address of the interface dummy0, for programs that look for a configured
// interface while TSI carries their connections.
var tsiAddress = netip.MustParsePrefix("203.0.113.1/24")

func (g *Guest) planLoopback() ([]op.Op, error) { return []op.Op{netif.Up{Name: "lo"}}, nil }

// hasTSI reports whether the host serves the guest's sockets: transparent socket impersonation.
func (g *Guest) hasTSI() bool { return g.Cmdline != nil && bootparam.HasTSI(*g.Cmdline) }

func (g *Guest) planTSI() ([]op.Op, error) {
	return []op.Op{netif.Address{Name: "dummy0", Prefix: tsiAddress}}, nil
}

func (g *Guest) wantsDHCP() bool { return len(g.Params.DHCP) > 0 }

func (g *Guest) prepareNetwork() error {
	cfg := network.Config{
		IPv4:       true,
		IPv6:       true,
		Hostname:   g.Params.Hostname,
		StatusFile: network.StatusFile,
		Warn:       g.warnOf("network"),
		OnAddress:  g.updateHosts,
		OnHostname: g.setLeaseHostname,
	}
	if g.Params.DHCP[0] != bootparam.AllInterfaces {
		cfg.Interfaces = g.Params.DHCP
	}
	g.network = network.New(cfg)
	g.tasks.Tasks = append(g.tasks.Tasks, g.network)
	return nil
}

// planNetwork asks for leases. What servers answer is read in stage "lease request"; what is
// between these stages is done while they answer.
func (g *Guest) planNetwork() ([]op.Op, error) {
	return []op.Op{network.Start{Network: g.network}}, nil
}

// planRequest answers with the name that the configuration gives the guest, so that servers and
// neighbours know it by that.
func (g *Guest) planRequest() ([]op.Op, error) {
	return []op.Op{network.Answer{Network: g.network, Hostname: g.Config.Hostname}}, nil
}

// planLease waits for leases, so that the workload starts with a network and name servers.
func (g *Guest) planLease() ([]op.Op, error) {
	return []op.Op{leaseWait{network.Wait{
		Network: g.network, Limit: g.Params.DHCPTimeout, Loop: &g.tasks,
		Stopped: func() bool { return g.stopRequest() != nil },
	}, g}}, nil
}

// leaseWait is network.Wait, but adds its duration to Guest.waited.
type leaseWait struct {
	network.Wait
	g *Guest
}

func (w leaseWait) Do() error {
	defer w.g.waiting()()
	return w.Wait.Do()
}

// leaseAddress returns the address of a lease.
func (g *Guest) leaseAddress() (address netip.Addr) {
	if g.network != nil {
		address = g.network.Address()
	}
	return address
}

// namedByLease reports whether the machine has the host name of a lease, because neither the host nor
// the configuration gives one.
func (g *Guest) namedByLease() bool { return g.Params.Hostname == "" && g.Config.Hostname == "" }

// setLeaseHostname takes the host name of a lease. One that comes while the workload runs changes
// the name of the machine.
func (g *Guest) setLeaseHostname(name string) {
	g.leaseHostname = name
	if g.namedByLease() && g.pid != 0 {
		g.Settings.Hostname = name
		if err := (system.Hostname{Name: name}).Do(); err != nil {
			g.warnOf("network")(err)
		}
		g.updateHosts()
	}
}

// updateHosts changes the hosts file for a lease that comes while the workload runs.
func (g *Guest) updateHosts() {
	if g.pid != 0 && g.keepsHosts() {
		_ = g.hostsFile().Do()
	}
}
