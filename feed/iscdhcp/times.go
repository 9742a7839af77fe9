package iscdhcp

import (
	"math"
	"strconv"
	"time"
)

// parseTime reads what follows cltt or ends: "1 2026/11/23 09:21:20" with the day of the week first, in UTC; "epoch 1795425680";
// "never". It is in seconds since 1970.
func parseTime(words []token) (int64, *lineError) {
	first := words[0]
	switch {
	case first.is("never") && len(words) == 1:
		return never, nil
	case first.is("epoch") && len(words) == 2:
		n, err := strconv.ParseUint(string(words[1].text), 10, 63)
		if err != nil || n > math.MaxInt64/2000 {
			return 0, wrong(words[1], ErrTime, "")
		}
		return int64(n), nil
	case len(words) == 3 && len(first.text) == 1 && first.text[0] >= '0' && first.text[0] <= '6':
		// dhcpd writes years of four digits and more, everything else of two.
		t, err := time.Parse("2006/01/02 15:04:05", string(words[1].text)+" "+string(words[2].text))
		if err != nil {
			return 0, wrong(words[1], ErrTime, "")
		}
		return t.Unix(), nil
	}
	return 0, wrong(first, ErrTime, "")
}

// parseUint32 reads a decimal number.
func parseUint32(t token) (uint32, *lineError) {
	n, err := strconv.ParseUint(string(t.text), 10, 32)
	if err != nil {
		return 0, wrong(t, ErrNumber, "")
	}
	return uint32(n), nil
}
