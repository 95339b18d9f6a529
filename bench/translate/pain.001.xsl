<?xml version="1.0"?>
<!-- pain.001 to one line of canonical JSON a transaction: the ready mapping `pain.001`, as a stylesheet. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:p="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09" exclude-result-prefixes="p">
  <xsl:output method="text" encoding="UTF-8"/>
  <xsl:param name="received">2026-11-23T12:00:00.000000Z</xsl:param>

  <xsl:template name="replace">
    <xsl:param name="text"/>
    <xsl:param name="what"/>
    <xsl:param name="by"/>
    <xsl:choose>
      <xsl:when test="contains($text, $what)">
        <xsl:value-of select="substring-before($text, $what)"/>
        <xsl:value-of select="$by"/>
        <xsl:call-template name="replace">
          <xsl:with-param name="text" select="substring-after($text, $what)"/>
          <xsl:with-param name="what" select="$what"/>
          <xsl:with-param name="by" select="$by"/>
        </xsl:call-template>
      </xsl:when>
      <xsl:otherwise><xsl:value-of select="$text"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <xsl:template name="member">
    <xsl:param name="name"/>
    <xsl:param name="value"/>
    <xsl:if test="string-length($value) &gt; 0">
      <xsl:text>,"</xsl:text><xsl:value-of select="$name"/><xsl:text>":"</xsl:text>
      <xsl:choose>
        <xsl:when test="contains($value, '\') or contains($value, '&quot;')">
          <xsl:variable name="once">
            <xsl:call-template name="replace">
              <xsl:with-param name="text" select="$value"/>
              <xsl:with-param name="what" select="'\'"/>
              <xsl:with-param name="by" select="'\\'"/>
            </xsl:call-template>
          </xsl:variable>
          <xsl:call-template name="replace">
            <xsl:with-param name="text" select="$once"/>
            <xsl:with-param name="what" select="'&quot;'"/>
            <xsl:with-param name="by" select="'\&quot;'"/>
          </xsl:call-template>
        </xsl:when>
        <xsl:otherwise><xsl:value-of select="$value"/></xsl:otherwise>
      </xsl:choose>
      <xsl:text>"</xsl:text>
    </xsl:if>
  </xsl:template>

  <xsl:template match="/p:Document/p:CstmrCdtTrfInitn">
    <xsl:variable name="head" select="p:GrpHdr"/>
    <xsl:if test="$head/p:NbOfTxs != count(p:PmtInf/p:CdtTrfTxInf)"><xsl:message terminate="yes">NbOfTxs</xsl:message></xsl:if>
    <xsl:if test="$head/p:CtrlSum and round($head/p:CtrlSum * 100) != round(sum(p:PmtInf/p:CdtTrfTxInf/p:Amt/p:InstdAmt) * 100)"><xsl:message terminate="yes">CtrlSum</xsl:message></xsl:if>
    <xsl:for-each select="p:PmtInf/p:CdtTrfTxInf">
      <xsl:variable name="account" select="(../p:DbtrAcct/p:Id/p:IBAN | ../p:DbtrAcct/p:Id/p:Othr/p:Id)[1]"/>
      <xsl:variable name="amount" select="p:Amt/p:InstdAmt"/>
      <xsl:if test="not(number($amount) &gt;= 0) or not($account) or string-length($amount/@Ccy) != 3"><xsl:message terminate="yes">field</xsl:message></xsl:if>
      <xsl:text>{"id":"</xsl:text>
      <xsl:value-of select="concat($head/p:MsgId, '/', ../p:PmtInfId, '/', $account, '/', position())"/>
      <xsl:text>","source":"pain.001"</xsl:text>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'account'"/><xsl:with-param name="value" select="$account"/></xsl:call-template>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'amount'"/><xsl:with-param name="value" select="format-number($amount, '0.00')"/></xsl:call-template>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'currency'"/><xsl:with-param name="value" select="$amount/@Ccy"/></xsl:call-template>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'booked_at'"/><xsl:with-param name="value" select="$head/p:CreDtTm"/></xsl:call-template>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'received_at'"/><xsl:with-param name="value" select="$received"/></xsl:call-template>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'execution_date'"/><xsl:with-param name="value" select="substring(../p:ReqdExctnDt, 1, 10)"/></xsl:call-template>
      <xsl:if test="p:PmtId/p:EndToEndId != 'NOTPROVIDED'">
        <xsl:call-template name="member"><xsl:with-param name="name" select="'end_to_end_id'"/><xsl:with-param name="value" select="p:PmtId/p:EndToEndId"/></xsl:call-template>
      </xsl:if>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'debtor'"/><xsl:with-param name="value" select="../p:Dbtr/p:Nm"/></xsl:call-template>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'creditor'"/><xsl:with-param name="value" select="p:Cdtr/p:Nm"/></xsl:call-template>
      <xsl:call-template name="member"><xsl:with-param name="name" select="'creditor_account'"/><xsl:with-param name="value" select="(p:CdtrAcct/p:Id/p:IBAN | p:CdtrAcct/p:Id/p:Othr/p:Id)[1]"/></xsl:call-template>
      <xsl:text>}&#10;</xsl:text>
    </xsl:for-each>
  </xsl:template>
  <xsl:template match="text()"/>
</xsl:stylesheet>
