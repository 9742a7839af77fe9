package dhcpv6

import "testing"

func TestBaseTime(t *testing.T) {
	checkOption(t, OptionLQBaseTime, ParseBaseTime, []codecCase[BaseTime]{
		{"2000-01-01T00:00:00Z", 0, []byte{
			0, 100, // option-code: OPTION_LQ_BASE_TIME
			0, 4, // option-len
			0, 0, 0, 0, // base-time
		}},
		{"2026-11-24T21:00:00Z", 848869200, []byte{
			0, 100, // option-code: OPTION_LQ_BASE_TIME
			0, 4, // option-len
			0x32, 0x98, 0xb7, 0x50, // base-time
		}},
	})
	checkBad(t, OptionLQBaseTime, ParseBaseTime, badTimes)
}

func TestStartTime(t *testing.T) {
	checkOption(t, OptionLQStartTime, ParseStartTime, []codecCase[StartTime]{
		{"last second of 32 bits", 0xffffffff, []byte{
			0, 101, // option-code: OPTION_LQ_START_TIME
			0, 4, // option-len
			0xff, 0xff, 0xff, 0xff, // query-start-time
		}},
		{"one octet each", 0x01020304, []byte{
			0, 101, // option-code: OPTION_LQ_START_TIME
			0, 4, // option-len
			1, 2, 3, 4, // query-start-time
		}},
	})
	checkBad(t, OptionLQStartTime, ParseStartTime, badTimes)
}

func TestEndTime(t *testing.T) {
	checkOption(t, OptionLQEndTime, ParseEndTime, []codecCase[EndTime]{
		{"one octet each", 0x0a0b0c0d, []byte{
			0, 102, // option-code: OPTION_LQ_END_TIME
			0, 4, // option-len
			0xa, 0xb, 0xc, 0xd, // query-end-time
		}},
	})
	checkBad(t, OptionLQEndTime, ParseEndTime, badTimes)
}

var badTimes = []badValue{
	{name: "empty", value: nil, offset: 0, err: ErrLength},
	{name: "two octets", value: []byte{0, 1}, offset: 2, err: ErrLength},
	{name: "eight octets", value: make([]byte, 8), offset: 4, err: ErrLength},
}
