// Stand-ins for the blocks of ECP5 that Yosys has only as black boxes.
//
// After Lattice's sysDSP and sysMEM usage guides (FPGA-TN-02205, FPGA-TN-02204), for what Yosys makes
// of them and what hw/ instantiates; anything else stops at elaboration.

// A product of 18 x 18 bits: registers of A, of B, and of the product, each there or not. An enable
// without a wire is high.
module MULT18X18D(
  input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK3, CLK2, CLK1, CLK0, RST3, RST2, RST1, RST0,
  input tri1 CE3, CE2, CE1, CE0,
  input SRIA17, SRIA16, SRIA15, SRIA14, SRIA13, SRIA12, SRIA11, SRIA10, SRIA9, SRIA8, SRIA7,
  SRIA6, SRIA5, SRIA4, SRIA3, SRIA2, SRIA1, SRIA0,
  input SRIB17, SRIB16, SRIB15, SRIB14, SRIB13, SRIB12, SRIB11, SRIB10, SRIB9, SRIB8, SRIB7,
  SRIB6, SRIB5, SRIB4, SRIB3, SRIB2, SRIB1, SRIB0,
  output SROA17, SROA16, SROA15, SROA14, SROA13, SROA12, SROA11, SROA10, SROA9, SROA8, SROA7,
  SROA6, SROA5, SROA4, SROA3, SROA2, SROA1, SROA0,
  output SROB17, SROB16, SROB15, SROB14, SROB13, SROB12, SROB11, SROB10, SROB9, SROB8, SROB7,
  SROB6, SROB5, SROB4, SROB3, SROB2, SROB1, SROB0,
  output ROA17, ROA16, ROA15, ROA14, ROA13, ROA12, ROA11, ROA10, ROA9, ROA8, ROA7, ROA6, ROA5,
  ROA4, ROA3, ROA2, ROA1, ROA0,
  output ROB17, ROB16, ROB15, ROB14, ROB13, ROB12, ROB11, ROB10, ROB9, ROB8, ROB7, ROB6, ROB5,
  ROB4, ROB3, ROB2, ROB1, ROB0,
  output ROC17, ROC16, ROC15, ROC14, ROC13, ROC12, ROC11, ROC10, ROC9, ROC8, ROC7, ROC6, ROC5,
  ROC4, ROC3, ROC2, ROC1, ROC0,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19,
  P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0,
  output SIGNEDP
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTA_CE = "CE0";
  parameter REG_INPUTA_RST = "RST0";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_INPUTB_CE = "CE0";
  parameter REG_INPUTB_RST = "RST0";
  parameter REG_INPUTC_CLK = "NONE";
  parameter REG_INPUTC_CE = "CE0";
  parameter REG_INPUTC_RST = "RST0";
  parameter REG_PIPELINE_CLK = "NONE";
  parameter REG_PIPELINE_CE = "CE0";
  parameter REG_PIPELINE_RST = "RST0";
  parameter REG_OUTPUT_CLK = "NONE";
  parameter REG_OUTPUT_CE = "CE0";
  parameter REG_OUTPUT_RST = "RST0";
  parameter CLK0_DIV = "ENABLED";
  parameter CLK1_DIV = "ENABLED";
  parameter CLK2_DIV = "ENABLED";
  parameter CLK3_DIV = "ENABLED";
  parameter HIGHSPEED_CLK = "NONE";
  parameter GSR = "ENABLED";
  parameter CAS_MATCH_REG = "FALSE";
  parameter SOURCEB_MODE = "B_SHIFT";
  parameter MULT_BYPASS = "DISABLED";
  parameter RESETMODE = "SYNC";

  // Each register has the clock CLK0 or none, and one of the four enables and resets.
  wire [3:0] ce = {CE3, CE2, CE1, CE0}, rst = {RST3, RST2, RST1, RST0};
  localparam CE_A = REG_INPUTA_CE == "CE3" ? 3 : REG_INPUTA_CE == "CE2" ? 2 : REG_INPUTA_CE == "CE1";
  localparam CE_B = REG_INPUTB_CE == "CE3" ? 3 : REG_INPUTB_CE == "CE2" ? 2 : REG_INPUTB_CE == "CE1";
  localparam CE_M = REG_PIPELINE_CE == "CE3" ? 3 : REG_PIPELINE_CE == "CE2" ? 2
                                               : REG_PIPELINE_CE == "CE1";
  localparam CE_P = REG_OUTPUT_CE == "CE3" ? 3 : REG_OUTPUT_CE == "CE2" ? 2 : REG_OUTPUT_CE == "CE1";
  localparam RST_A = REG_INPUTA_RST == "RST3" ? 3 : REG_INPUTA_RST == "RST2" ? 2
                                                  : REG_INPUTA_RST == "RST1";
  localparam RST_B = REG_INPUTB_RST == "RST3" ? 3 : REG_INPUTB_RST == "RST2" ? 2
                                                  : REG_INPUTB_RST == "RST1";
  localparam RST_M = REG_PIPELINE_RST == "RST3" ? 3 : REG_PIPELINE_RST == "RST2" ? 2
                                                    : REG_PIPELINE_RST == "RST1";
  localparam RST_P = REG_OUTPUT_RST == "RST3" ? 3 : REG_OUTPUT_RST == "RST2" ? 2
                                                  : REG_OUTPUT_RST == "RST1";
  generate
    if ((REG_INPUTA_CLK != "NONE" && REG_INPUTA_CLK != "CLK0")
        || (REG_INPUTB_CLK != "NONE" && REG_INPUTB_CLK != "CLK0")
        || (REG_PIPELINE_CLK != "NONE" && REG_PIPELINE_CLK != "CLK0")
        || (REG_OUTPUT_CLK != "NONE" && REG_OUTPUT_CLK != "CLK0")
        || REG_INPUTC_CLK != "NONE" || RESETMODE != "SYNC" || MULT_BYPASS != "DISABLED"
        || CAS_MATCH_REG != "FALSE" || HIGHSPEED_CLK != "NONE")
      $error("MULT18X18D: this model has one clock, CLK0, synchronous resets, no cascade");
  endgenerate

  wire [17:0] a_in = {
    A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b_in = {
    B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  // Bit 18 is the sign, or zero for a factor without one.
  reg [18:0] a_held = 0, b_held = 0;
  reg [35:0] m_held = 0, p_held = 0;
  wire [18:0] a_now = {SIGNEDA & A17, a_in}, b_now = {SIGNEDB & B17, b_in};
  wire [18:0] a = REG_INPUTA_CLK == "NONE" ? a_now : a_held;
  wire [18:0] b = REG_INPUTB_CLK == "NONE" ? b_now : b_held;
  wire [37:0] product = $signed(a) * $signed(b);
  wire [35:0] m = REG_PIPELINE_CLK == "NONE" ? product[35:0] : m_held;
  wire [35:0] p = REG_OUTPUT_CLK == "NONE" ? m : p_held;
  always @(posedge CLK0) begin
    if (rst[RST_A]) a_held <= 0;
    else if (ce[CE_A]) a_held <= a_now;
    if (rst[RST_B]) b_held <= 0;
    else if (ce[CE_B]) b_held <= b_now;
    if (rst[RST_M]) m_held <= 0;
    else if (ce[CE_M]) m_held <= product[35:0];
    if (rst[RST_P]) p_held <= 0;
    else if (ce[CE_P]) p_held <= m;
  end
  assign {
    P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
  assign {
    SROA17, SROA16, SROA15, SROA14, SROA13, SROA12, SROA11, SROA10, SROA9, SROA8, SROA7,
    SROA6, SROA5, SROA4, SROA3, SROA2, SROA1, SROA0} = 0;
  assign {
    SROB17, SROB16, SROB15, SROB14, SROB13, SROB12, SROB11, SROB10, SROB9, SROB8, SROB7,
    SROB6, SROB5, SROB4, SROB3, SROB2, SROB1, SROB0} = 0;
  assign {
    ROA17, ROA16, ROA15, ROA14, ROA13, ROA12, ROA11, ROA10, ROA9, ROA8, ROA7, ROA6, ROA5,
    ROA4, ROA3, ROA2, ROA1, ROA0} = 0;
  assign {
    ROB17, ROB16, ROB15, ROB14, ROB13, ROB12, ROB11, ROB10, ROB9, ROB8, ROB7, ROB6, ROB5,
    ROB4, ROB3, ROB2, ROB1, ROB0} = 0;
  assign {
    ROC17, ROC16, ROC15, ROC14, ROC13, ROC12, ROC11, ROC10, ROC9, ROC8, ROC7, ROC6, ROC5,
    ROC4, ROC3, ROC2, ROC1, ROC0} = 0;
  assign SIGNEDP = SIGNEDA | SIGNEDB;
endmodule

// A block RAM of 1,024 x 18 bits with two ports of 1 to 18 bits, or with one that writes and one that
// reads, of which either may have 36. The ninth bit of each byte is reached by 9 bits and more.
//
// What a port reads where the other one writes in the same cycle is undefined: here all bits of it
// are turned over, so that nothing can depend on it unseen.
module DP16KD(
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
  DIA4, DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
  DIB4, DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
  DOA4, DOA3, DOA2, DOA1, DOA0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
  DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18;
  parameter REGMODE_A = "NOREG";
  parameter CSDECODE_A = "0b000";
  parameter WRITEMODE_A = "NORMAL";
  parameter CLKAMUX = "CLKA";
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_B = "NOREG";
  parameter CSDECODE_B = "0b000";
  parameter WRITEMODE_B = "NORMAL";
  parameter CLKBMUX = "CLKB";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter GSR = "ENABLED";
  parameter INIT_DATA = "STATIC";
  parameter WID = 0;
  parameter INITVAL_00 = 320'h0;
  parameter INITVAL_01 = 320'h0;
  parameter INITVAL_02 = 320'h0;
  parameter INITVAL_03 = 320'h0;
  parameter INITVAL_04 = 320'h0;
  parameter INITVAL_05 = 320'h0;
  parameter INITVAL_06 = 320'h0;
  parameter INITVAL_07 = 320'h0;
  parameter INITVAL_08 = 320'h0;
  parameter INITVAL_09 = 320'h0;
  parameter INITVAL_0A = 320'h0;
  parameter INITVAL_0B = 320'h0;
  parameter INITVAL_0C = 320'h0;
  parameter INITVAL_0D = 320'h0;
  parameter INITVAL_0E = 320'h0;
  parameter INITVAL_0F = 320'h0;
  parameter INITVAL_10 = 320'h0;
  parameter INITVAL_11 = 320'h0;
  parameter INITVAL_12 = 320'h0;
  parameter INITVAL_13 = 320'h0;
  parameter INITVAL_14 = 320'h0;
  parameter INITVAL_15 = 320'h0;
  parameter INITVAL_16 = 320'h0;
  parameter INITVAL_17 = 320'h0;
  parameter INITVAL_18 = 320'h0;
  parameter INITVAL_19 = 320'h0;
  parameter INITVAL_1A = 320'h0;
  parameter INITVAL_1B = 320'h0;
  parameter INITVAL_1C = 320'h0;
  parameter INITVAL_1D = 320'h0;
  parameter INITVAL_1E = 320'h0;
  parameter INITVAL_1F = 320'h0;
  parameter INITVAL_20 = 320'h0;
  parameter INITVAL_21 = 320'h0;
  parameter INITVAL_22 = 320'h0;
  parameter INITVAL_23 = 320'h0;
  parameter INITVAL_24 = 320'h0;
  parameter INITVAL_25 = 320'h0;
  parameter INITVAL_26 = 320'h0;
  parameter INITVAL_27 = 320'h0;
  parameter INITVAL_28 = 320'h0;
  parameter INITVAL_29 = 320'h0;
  parameter INITVAL_2A = 320'h0;
  parameter INITVAL_2B = 320'h0;
  parameter INITVAL_2C = 320'h0;
  parameter INITVAL_2D = 320'h0;
  parameter INITVAL_2E = 320'h0;
  parameter INITVAL_2F = 320'h0;
  parameter INITVAL_30 = 320'h0;
  parameter INITVAL_31 = 320'h0;
  parameter INITVAL_32 = 320'h0;
  parameter INITVAL_33 = 320'h0;
  parameter INITVAL_34 = 320'h0;
  parameter INITVAL_35 = 320'h0;
  parameter INITVAL_36 = 320'h0;
  parameter INITVAL_37 = 320'h0;
  parameter INITVAL_38 = 320'h0;
  parameter INITVAL_39 = 320'h0;
  parameter INITVAL_3A = 320'h0;
  parameter INITVAL_3B = 320'h0;
  parameter INITVAL_3C = 320'h0;
  parameter INITVAL_3D = 320'h0;
  parameter INITVAL_3E = 320'h0;
  parameter INITVAL_3F = 320'h0;

  generate
    if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000"
        || CLKAMUX != "CLKA" || CLKBMUX != "CLKB")
      $error("DP16KD: this model has no chip selects or inverted clocks");
  endgenerate

  // Rows of four bytes of nine bits.
  reg [35:0] rows [0:511];
  wire [20479:0] initial_values = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
    INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
    INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
    INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
    INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D,
    INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
    INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F,
    INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
    INITVAL_00};
  integer i;
  initial for (i = 0; i < 512; i = i + 1)
    rows[i] = {initial_values[40 * i + 20 +: 18], initial_values[40 * i +: 18]};

  wire [13:0] a_address = {
    ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [17:0] a_data = {
    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
    DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [13:0] b_address = {
    ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [17:0] b_data = {
    DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
    DIB4, DIB3, DIB2, DIB1, DIB0};
  // A word of 36 bits has its upper half at the pins of port B.
  localparam WIDE_A = DATA_WIDTH_A == 36, WIDE_B = DATA_WIDTH_B == 36;
  wire a_on = CEA & ~CSA2 & ~CSA1 & ~CSA0, b_on = CEB & ~CSB2 & ~CSB1 & ~CSB0;
  wire [8:0] a_row = a_address[13:5], b_row = b_address[13:5];

  // Where in its row a word begins.
  function [5:0] place(input integer width, input [4:0] low);
    case (width)
      36: place = 0;
      18: place = low[4] ? 18 : 0;
      9: place = 9 * low[4:3];
      4: place = 9 * low[4:3] + 4 * low[2];
      2: place = 9 * low[4:3] + 2 * low[2:1];
      default: place = 9 * low[4:3] + low[2:0];
    endcase
  endfunction

  // Which bits are written: words of 18 and 36 have an enable for each byte in the low address bits.
  function [35:0] enabled(input integer width, input [4:0] low);
    case (width)
      36: enabled = {{9{low[3]}}, {9{low[2]}}, {9{low[1]}}, {9{low[0]}}};
      18: enabled = {{9{low[1]}}, {9{low[0]}}};
      default: enabled = (36'd1 << width) - 1;
    endcase
  endfunction

  wire [5:0] a_place = place(DATA_WIDTH_A, a_address[4:0]);
  wire [5:0] b_place = place(DATA_WIDTH_B, b_address[4:0]);
  wire a_writes = a_on & WEA, b_writes = b_on & WEB;
  wire [35:0] a_mask = a_writes ? enabled(DATA_WIDTH_A, a_address[4:0]) << a_place : 0;
  wire [35:0] b_mask = b_writes ? enabled(DATA_WIDTH_B, b_address[4:0]) << b_place : 0;
  wire [35:0] a_word = {WIDE_A ? b_data : 18'b0, a_data}, b_word = {18'b0, b_data};
  wire [35:0] a_new = (rows[a_row] & ~a_mask) | ((a_word << a_place) & a_mask);
  wire [35:0] b_new = (rows[b_row] & ~b_mask) | ((b_word << b_place) & b_mask);
  wire same = a_row == b_row;
  wire [35:0] a_seen = WRITEMODE_A == "WRITETHROUGH" ? a_new : rows[a_row];
  wire [35:0] b_seen = WRITEMODE_B == "WRITETHROUGH" ? b_new : rows[b_row];
  reg [35:0] a_out = 0, b_out = 0;

  always @(posedge CLKA) begin
    if (a_writes) rows[a_row] <= a_new;
    if (RSTA) a_out <= 0;
    else if (a_on && !(a_writes && WRITEMODE_A == "NORMAL"))
      a_out <= (a_seen ^ (same ? b_mask : 36'b0)) >> a_place;
  end
  always @(posedge CLKB) begin
    if (b_writes) rows[b_row] <= b_new;
    if (RSTB) b_out <= 0;
    else if (b_on && !(b_writes && WRITEMODE_B == "NORMAL"))
      b_out <= (b_seen ^ (same ? a_mask : 36'b0)) >> b_place;
    if (a_writes && b_writes && same) begin
      $display("DP16KD: both ports write to one row in one cycle, which this model does not do");
      $stop;
    end
  end
  // The output registers, which the resets reach too.
  reg [35:0] a_late = 0, b_late = 0;
  always @(posedge CLKA) if (RSTA) a_late <= 0; else if (OCEA) a_late <= a_out;
  always @(posedge CLKB) if (RSTB) b_late <= 0; else if (OCEB) b_late <= b_out;
  wire [35:0] a_given = REGMODE_A == "OUTREG" ? a_late : a_out;
  wire [35:0] b_given = REGMODE_B == "OUTREG" ? b_late : b_out;
  // An asynchronous reset also holds the output between two edges.
  wire [35:0] a_held = RESETMODE == "ASYNC" && RSTA ? 36'b0 : a_given;
  wire [35:0] b_held = RESETMODE == "ASYNC" && RSTB ? 36'b0 : b_given;
  wire [17:0] a_pins = WIDE_B ? b_held[17:0] : a_held[17:0];
  wire [17:0] b_pins = WIDE_B ? b_held[35:18] : b_held[17:0];
  assign {
    DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
    DOA4, DOA3, DOA2, DOA1, DOA0} = a_pins;
  assign {
    DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
    DOB4, DOB3, DOB2, DOB1, DOB0} = b_pins;
endmodule
