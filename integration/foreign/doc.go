// Package foreign has the test that another module can import this one: with vendoring, it builds an
// init that has one stage more, and a host that starts it.
package foreign
