package network

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Kea is a DHCPv4 server, ISC Kea. It sends the options that the guest requests (option 55), and
// some options in any case.
type Kea struct{ Lease }

// object is a JSON object.
type object map[string]any

func (k Kea) start(ctx context.Context, s *Segment, dir string) (service, error) {
	if _, err := s.subnet(k.Address.Addr()); err != nil {
		return nil, err
	}
	var options []object
	option := func(name, data string) {
		if data != "" {
			options = append(options, object{"name": name, "data": data})
		}
	}
	option("routers", join(k.Routers, ", "))
	option("domain-name-servers", join(k.DNS, ", "))
	option("domain-name", k.Domain)
	option("domain-search", strings.Join(k.Search, ", "))
	if k.MTU != 0 {
		option("interface-mtu", fmt.Sprint(k.MTU))
	}
	if len(k.Routes) > 0 {
		data := hex.EncodeToString(k.classlessRoutes())
		options = append(options, object{"code": 121, "csv-format": false, "data": data})
	}
	reservation := object{"hw-address": s.MAC.String(), "ip-address": k.Address.Addr().String()}
	if k.Hostname != "" {
		reservation["hostname"] = k.Hostname
	}
	return runKea(ctx, s, dir, "4", object{
		"interfaces-config": object{"interfaces": []string{segmentInterface}},
		"lease-database":    object{"type": "memfile", "persist": false},
		"valid-lifetime":    seconds(leaseTime(k.Time)),
		"option-data":       options,
		"subnet4": []object{{
			"id":           1,
			"subnet":       k.Address.Masked().String(), // sets the subnet mask too
			"interface":    segmentInterface,
			"reservations": []object{reservation},
		}},
	})
}

// Kea6 is a DHCPv6 server, ISC Kea.
type Kea6 struct{ Lease6 }

func (k Kea6) start(ctx context.Context, s *Segment, dir string) (service, error) {
	host, err := s.subnet6(k.Address)
	if err != nil {
		return nil, err
	}
	var options []object
	if len(k.DNS) > 0 {
		options = append(options, object{"name": "dns-servers", "data": join(k.DNS, ", ")})
	}
	if len(k.Search) > 0 {
		options = append(options, object{"name": "domain-search", "data": strings.Join(k.Search, ", ")})
	}
	subnet := object{"id": 1, "subnet": host.Masked().String(), "interface": segmentInterface}
	if k.Address.IsValid() {
		subnet["pools"] = []object{{"pool": k.Address.String() + "/128"}}
	}
	return runKea(ctx, s, dir, "6", object{
		"interfaces-config":  object{"interfaces": []string{segmentInterface}},
		"lease-database":     object{"type": "memfile", "persist": false},
		"server-id":          object{"type": "LL", "persist": false},
		"valid-lifetime":     seconds(leaseTime(k.Time)),
		"preferred-lifetime": seconds(leaseTime(k.Time)),
		"option-data":        options,
		"subnet6":            []object{subnet},
	})
}

// runKea runs the server for version 4 or 6 of IP.
func runKea(ctx context.Context, s *Segment, dir, version string, config object) (service, error) {
	text, err := json.Marshal(object{"Dhcp" + version: config})
	if err != nil {
		return nil, err
	}
	return s.run(ctx, dir, program{
		name:   "kea-dhcp" + version,
		config: string(text),
		args:   []string{"-c", configFile},
		env:    []string{"KEA_PIDFILE_DIR=" + dir, "KEA_LOCKFILE_DIR=none", "KEA_LOGGER_DESTINATION=stdout"},
		ready:  "DHCP" + version + "_STARTED",
	})
}
